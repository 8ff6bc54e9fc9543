//! Open payments of a ledger that was restored from a backup: they stand there as they stood when the backup was made. What
//! was built, refused, sent or paid anew since is not in them, so the rules of recovery do not hold before somebody has
//! looked.

use crate::sending::{Found, marker};
use crate::{Kind, Lookup, Settlement, SettlementError};
use millpond_ledger::{Entry, InputId, PaymentId, PaymentState, PaymentStatus, Progress, TxId};
use millpond_types::UnixMillis;
use std::collections::BTreeSet;

impl Settlement {
    /// The transaction that an open payment became, as far as the wallet shows one. `None` proves nothing.
    ///
    /// # Errors
    /// When the wallet does not answer.
    pub fn shown(&self, id: PaymentId) -> Result<Option<TxId>, SettlementError> {
        let Some(state) = self.ledger.payment(id).filter(|state| state.status.is_open()) else {
            return Ok(None);
        };
        let Some(txid) = &state.txid else {
            if self.wallet.kind() == Kind::Builder {
                return Ok(None);
            }
            // The call of before the loss carried this marker.
            let state = PaymentState { marker: Some(marker(&state)), ..state };
            return Ok(match self.seen(&state)? {
                Found::Nothing => None,
                Found::One(seen) => Some(seen.txid),
                Found::Several(all) => all.into_iter().next(),
            });
        };
        let inputs: Vec<InputId> = state.built.as_ref().map(|built| built.inputs.clone()).unwrap_or_default();
        Ok(match self.wallet.lookup(txid, &inputs)? {
            // Of a conflict nobody here knows whom it paid: it may be this payment, made anew.
            Lookup::NotFound | Lookup::Conflicted(_) => None,
            Lookup::Waiting | Lookup::Confirmed(_) => Some(txid.clone()),
        })
    }

    /// Open payments that recovery would send though the wallet shows nothing of them: each may have been paid by another
    /// transaction since. Payments of a wallet that only sends are never among them: its history decides.
    ///
    /// # Errors
    /// When the wallet does not answer.
    pub fn doubtful(&self) -> Result<Vec<PaymentId>, SettlementError> {
        let mut doubtful = Vec::new();
        if self.wallet.kind() == Kind::Sender {
            return Ok(doubtful);
        }
        for state in self.ledger.open_payments() {
            if self.shown(state.id)?.is_none() {
                doubtful.push(state.id);
            }
        }
        Ok(doubtful)
    }

    /// Says of each reserved payment of a wallet that only sends that its call may have been made, so that nothing but the
    /// history decides, as after a crash in the call. `but` are those of which somebody knows that it was not made.
    ///
    /// # Errors
    /// When the ledger's disk fails.
    pub fn leave_to_history(
        &self,
        but: &BTreeSet<PaymentId>,
        now: UnixMillis,
    ) -> Result<(), SettlementError> {
        if self.wallet.kind() == Kind::Builder {
            return Ok(());
        }
        for state in self.ledger.open_payments() {
            if state.status == PaymentStatus::Reserved && !but.contains(&state.id) {
                // Its time is the earliest that the call can have: the history is read from there on.
                let step = Progress::Submitting { at: state.reserved_at, marker: Some(marker(&state)) };
                self.append(now, Entry::PaymentProgress { payment: state.id, step })?;
            }
        }
        Ok(())
    }
}
