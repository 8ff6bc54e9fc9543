//! Settled payments, for a day after: a reorganisation may take their block out of the chain again.
//!
//! The ledger's entry stays as it is, since what may confirm again is the same transaction: its bytes are sent again, and
//! nothing is paid anew. What cannot be mended so is the operator's to see.

use crate::{Lookup, Report, Settlement, SettlementError, Step, WalletError};
use millpond_ledger::{Built, Entry, InputId, PaymentId, PaymentState, PaymentStatus, Progress, TxId};
use millpond_types::UnixMillis;

/// Settled payments are looked at for this long.
const WATCHED_MS: u64 = 86_400_000;
/// And so many of them, the newest: a reorganisation takes the newest out first, and each look asks for each.
const MOST: usize = 64;
/// Payments are reserved in the order of their numbers: who was reserved so long ago and settled within a day is not
/// looked for.
const OPEN_MS: u64 = 8 * WATCHED_MS;

/// What became of a settled payment that is in no block any more.
struct Removed {
    note: String,
    /// Its coins look free to the wallet: a new payment could spend them, and then this one is lost to its owners.
    loose: bool,
}

impl Settlement {
    /// Whether there is a settled payment that is still looked at.
    #[must_use]
    pub fn watches(&self, now: UnixMillis) -> bool {
        !self.watched(now).is_empty()
    }

    fn watched(&self, now: UnixMillis) -> Vec<PaymentState> {
        let book = self.ledger.book();
        let recent = |state: &&PaymentState| {
            state.status == PaymentStatus::Settled && now.since(state.changed_at) < WATCHED_MS
        };
        let young = |state: &&PaymentState| now.since(state.reserved_at) < OPEN_MS;
        let vouched = self.vouched.lock();
        let doubted = |state: &&PaymentState| !vouched.contains(&state.id);
        book.payments().rev().take_while(young).filter(recent).take(MOST).filter(doubted).cloned().collect()
    }

    /// Looks whether settled payments are still in the chain. True when one is not, and its coins look free to the
    /// wallet.
    pub(crate) fn look_back(&self, now: UnixMillis, report: &mut Report) -> Result<bool, SettlementError> {
        let mut loose = false;
        for state in self.watched(now) {
            if let Some(removed) = self.removed(&state, now)? {
                loose |= removed.loose;
                report.removed.push(Step {
                    payment: state.id,
                    state: state.status.name(),
                    note: removed.note,
                    again: false,
                });
            }
        }
        Ok(loose)
    }

    fn removed(&self, state: &PaymentState, now: UnixMillis) -> Result<Option<Removed>, SettlementError> {
        let Some(txid) = &state.txid else { return Ok(None) };
        // A wallet that does not answer proves nothing.
        match self.wallet.lookup(txid, &[]) {
            Ok(Lookup::Confirmed(_)) => {
                self.noted.lock().remove(&state.id);
                return Ok(None);
            }
            Err(_) => return Ok(None),
            Ok(_) => {}
        }
        // Nor does one that never heard of it, as another wallet than the one that paid: the node's word counts.
        match self.has_an_output(state, txid) {
            Ok(false) => {}
            Ok(true) | Err(_) => return Ok(None),
        }
        let built = self.stored(state.id)?;
        let inputs = built.as_ref().map(|built| built.inputs.clone()).unwrap_or_default();
        let Ok(found) = self.wallet.lookup(txid, &inputs) else { return Ok(None) };
        let says = |what: &str, loose: bool| {
            let note = format!("{txid} was settled and is in no block any more: {what}");
            Ok(Some(Removed { note, loose }))
        };
        match (found, built) {
            (Lookup::Confirmed(_), _) => Ok(None),
            (Lookup::Waiting, _) => says("it waits for one again", false),
            (Lookup::NotFound, Some(built)) => match self.wallet.broadcast(&built.bytes, &built.txid) {
                Ok(()) if self.noted.lock().insert(state.id) => {
                    let (by, action) = ("settlement".to_owned(), "settled payment sent again".to_owned());
                    let detail = format!("payment {}, the same bytes: {txid}", state.id);
                    self.append(now, Entry::Noted { by, action, detail })?;
                    says("the same bytes were sent again", false)
                }
                Ok(()) => says("the same bytes were sent again", false),
                Err(error) => {
                    // A node that does not answer proves nothing: then they count as free.
                    let loose = inputs.iter().any(|coin| self.wallet.has_coin(coin).unwrap_or(true));
                    says(&format!("its bytes cannot be sent again: {error}"), loose)
                }
            },
            (Lookup::NotFound, None) => says(
                "the wallet does not have it; have it sent again, or say that it stands (payments resolve with its \
                     name): nothing new is paid before",
                true,
            ),
            (Lookup::Conflicted(count), _) => {
                let what = format!(
                    "another transaction spends its coins, with {count} confirmations; find out who was paid by whom"
                );
                says(&what, false)
            }
        }
    }

    /// Whether the node's chain has a coin that the payment made: then it is in a block, whatever the wallet knows.
    fn has_an_output(&self, state: &PaymentState, txid: &TxId) -> Result<bool, WalletError> {
        // One output a row at most, and change.
        for index in 0..=state.rows.len() {
            if self.wallet.has_coin(&InputId(format!("{txid}:{index}")))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The transaction that was stored for a payment: the log keeps it, balances do not.
    fn stored(&self, id: PaymentId) -> Result<Option<Built>, SettlementError> {
        let mut stored = None;
        self.ledger.reader().for_each_record(&mut |record, _| {
            if let Entry::PaymentProgress { payment, step: Progress::Built(built) } = &record.entry
                && *payment == id
            {
                stored = Some(built.clone());
            }
            Ok(())
        })?;
        Ok(stored)
    }
}
