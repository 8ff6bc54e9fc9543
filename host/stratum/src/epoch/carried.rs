//! Epochs as words for the process that takes over.

use super::{Epoch, Epochs, Stretch, Values};
use crate::carried::{Bits, Hex};
use crate::login::carried::{PayeeState, Payees};
use millpond_types::{JobId, Target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StretchState {
    number: u8,
    first: JobId,
    last: JobId,
    difficulty: Bits,
    target: Target,
    prefix: Hex,
    negotiated: BTreeMap<String, Hex>,
    #[serde(deserialize_with = "Option::deserialize")]
    payee: Option<PayeeState>,
    reissue: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EpochsState {
    stretches: Vec<StretchState>,
    #[serde(deserialize_with = "Option::deserialize")]
    last: Option<JobId>,
    remembered: JobId,
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
    /// `oldest`: the oldest job whose shares may still count; what only older ones were sent under is left out, but for
    /// the newest.
    pub(crate) fn state(&self, oldest: Option<JobId>) -> EpochsState {
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
        let newest = self.kept.len().saturating_sub(1);
        let counts = |(at, stretch): &(usize, &Stretch)| {
            *at == newest || oldest.is_some_and(|oldest| stretch.last >= oldest)
        };
        let kept = || self.kept.iter().enumerate();
        let dropped = kept().filter(|one| !counts(one)).map(|(_, stretch)| stretch.after());
        EpochsState {
            remembered: dropped.fold(self.remembered, Ord::max),
            stretches: kept().filter(counts).map(|(_, kept)| stretch(kept)).collect(),
            last: self.last,
        }
    }

    /// What is the same as in the session, or in the stretch before, is shared with it, as it was.
    pub(crate) fn of(
        state: EpochsState,
        mut prefix: Arc<[u8]>,
        mut negotiated: Arc<BTreeMap<String, Vec<u8>>>,
        payees: &mut Payees,
    ) -> Self {
        let stretch = |state: StretchState| {
            if *prefix != *state.prefix.0 {
                prefix = Arc::from(state.prefix.0);
            }
            let fields = read(state.negotiated);
            if *negotiated != fields {
                negotiated = Arc::new(fields);
            }
            let values = Values {
                difficulty: state.difficulty.into(),
                target: state.target,
                prefix: Arc::clone(&prefix),
                negotiated: Arc::clone(&negotiated),
                payee: state.payee.map(|payee| payees.of(payee)),
                reissue: state.reissue,
            };
            let epoch = Arc::new(Epoch { number: state.number, values });
            Stretch { epoch, first: state.first, last: state.last }
        };
        Self {
            kept: state.stretches.into_iter().map(stretch).collect(),
            last: state.last,
            remembered: state.remembered,
        }
    }
}
