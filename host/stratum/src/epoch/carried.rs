//! Epochs as words for the process that takes over.

use super::{Epoch, Epochs, Stretch, Values};
use crate::carried::{Bits, Hex};
use crate::login::carried::{PayeeState, Payees};
use millpond_types::{JobId, Target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StretchState {
    number: u8,
    first: JobId,
    last: JobId,
    difficulty: Bits,
    target: Target,
    prefix: Hex,
    negotiated: BTreeMap<String, Hex>,
    payee: Option<PayeeState>,
    reissue: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochsState {
    stretches: Vec<StretchState>,
    last: Option<JobId>,
}

/// Negotiated fields as words.
pub(crate) fn told(fields: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Hex> {
    fields.iter().map(|(name, value)| (name.clone(), Hex(value.clone()))).collect()
}

/// The same back.
pub(crate) fn read(fields: BTreeMap<String, Hex>) -> BTreeMap<String, Vec<u8>> {
    fields.into_iter().map(|(name, value)| (name, value.0)).collect()
}

impl Epochs {
    pub(crate) fn state(&self) -> EpochsState {
        let stretch = |stretch: &Stretch| {
            let values = &stretch.epoch.values;
            StretchState {
                number: stretch.epoch.number,
                first: stretch.first,
                last: stretch.last,
                difficulty: values.difficulty.into(),
                target: values.target,
                prefix: values.prefix.as_ref().into(),
                negotiated: told(&values.negotiated),
                payee: values.payee.as_deref().map(PayeeState::from),
                reissue: values.reissue,
            }
        };
        EpochsState { stretches: self.kept.iter().map(stretch).collect(), last: self.last }
    }

    pub(crate) fn of(state: EpochsState, payees: &mut Payees) -> Self {
        let stretch = |state: StretchState| {
            let values = Values {
                difficulty: state.difficulty.into(),
                target: state.target,
                prefix: Arc::from(state.prefix.0),
                negotiated: Arc::new(read(state.negotiated)),
                payee: state.payee.map(|payee| payees.of(payee)),
                reissue: state.reissue,
            };
            let epoch = Arc::new(Epoch { number: state.number, values });
            Stretch { epoch, first: state.first, last: state.last }
        };
        Self { kept: state.stretches.into_iter().map(stretch).collect(), last: state.last }
    }
}
