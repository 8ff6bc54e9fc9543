//! Payments of a pool whose data was restored from a backup: nothing is looked at, built or sent until an operator has
//! compared the ledger with the wallet and says so. What the ledger has as open stands there as it stood when the backup was
//! made: it may have been paid, or given up and paid anew, since.

use crate::Pool;
use millpond_ledger::PaymentId;
use millpond_types::UnixMillis;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

impl Pool {
    /// Whether payments wait for an operator's word after a restore.
    #[must_use]
    pub fn payments_held(&self) -> bool {
        self.payments.as_ref().is_some_and(|payments| payments.held.load(Ordering::Acquire))
    }

    pub(crate) fn not_held(&self) -> Result<(), String> {
        if !self.payments_held() {
            return Ok(());
        }
        Err(format!(
            "nothing is paid, since the data was restored from a backup: compare the ledger with the wallet's history, \
             then `millpond payments --pool {} resume`",
            self.name()
        ))
    }

    /// A payment of a restored ledger is not given up while the wallet shows that it was made.
    pub(crate) fn not_shown(&self, payment: u64) -> Result<(), String> {
        if !self.payments_held() {
            return Ok(());
        }
        let shown = self.payer()?.with(|it| it.shown(PaymentId(payment))).map_err(|why| why.to_string())?;
        match shown {
            Some(txid) => Err(format!(
                "payment {payment} was made, as {txid}; it is followed when payments are resumed"
            )),
            None => Ok(()),
        }
    }

    /// Lets payments go on after a restore. `again` are open payments of which the operator knows that they were not paid
    /// since the backup, by whatever transaction: they are brought on as they stand. Blocks.
    ///
    /// # Errors
    /// When payments are not held, the wallet does not answer, an open payment could be paid a second time, or the order
    /// could not be recorded: then nothing has changed.
    pub fn payments_resume(&self, again: &[u64], actor: &str) -> Result<Value, String> {
        let payer = self.payer()?;
        if !self.payments_held() {
            return Err("payments of this pool are not held".to_owned());
        }
        let again: BTreeSet<PaymentId> = again.iter().copied().map(PaymentId).collect();
        for id in &again {
            if !self.core.ledger.payment(*id).is_some_and(|state| state.status.is_open()) {
                return Err(format!("payment {id} is not open: `--again` names open payments"));
            }
            self.not_shown(id.0)?;
        }
        let mut doubtful = payer.with(|it| it.doubtful()).map_err(|why| why.to_string())?;
        doubtful.retain(|id| !again.contains(id));
        if !doubtful.is_empty() {
            let numbers: Vec<_> = doubtful.iter().map(ToString::to_string).collect();
            return Err(format!(
                "payments {} are open in the backup and the wallet shows no transaction of theirs: release each, and if \
                 the wallet's history paid it otherwise, hold its miners back by `millpond minimum`; or say by `resume \
                 --again NUMBER` that it was certainly not paid since and is to be sent",
                numbers.join(", ")
            ));
        }
        let named: Vec<String> = again.iter().map(ToString::to_string).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        self.record_admin(actor, "payments_resume", &named)?;
        payer.with(|it| it.leave_to_history(&again, UnixMillis::now())).map_err(|why| why.to_string())?;
        payer.held.store(false, Ordering::Release);
        Ok(json!({"resumed": true, "again": again}))
    }
}
