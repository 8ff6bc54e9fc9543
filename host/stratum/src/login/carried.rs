//! Whom logins pay, as words for the process that takes over.

use crate::backend::Payee;
use crate::carried::Hex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PayeeState {
    payee: String,
    address: String,
    worker: String,
}

impl From<&Payee> for PayeeState {
    fn from(payee: &Payee) -> Self {
        Self {
            payee: Hex(payee.payee.clone()).into(),
            address: payee.address.clone(),
            worker: payee.worker.to_string(),
        }
    }
}

/// Payees that are read back, one for all sessions that have it.
#[derive(Debug, Default)]
pub(crate) struct Payees(HashMap<PayeeState, Arc<Payee>>);

impl Payees {
    pub(crate) fn of(&mut self, state: PayeeState) -> Arc<Payee> {
        let make = |state: &PayeeState| {
            let payee = hex::decode(&state.payee).unwrap_or_default();
            Arc::new(Payee::new(payee, state.address.clone(), &state.worker))
        };
        let known = self.0.entry(state);
        let made = known.or_insert_with_key(make);
        Arc::clone(made)
    }
}
