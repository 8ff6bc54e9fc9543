//! What an operator may order about a payment, and what has to be so before it is done.

use crate::sending::{CLOCK_MS, Found};
use crate::{Edge, Kind, Lookup, Output, Settlement, SettlementError};
use millpond_ledger::{Entry, InputId, PaymentId, PaymentState, PaymentStatus, SettledRow, TxId};
use millpond_types::{Amount, UnixMillis};
use std::collections::BTreeSet;

/// A call whose answer was lost may wait in a wallet's queue for so long, behind a rescan or a lock: nodes do what they
/// were asked though nobody waits for the answer any more.
const WAITS_MS: u64 = 86_400_000;

/// What the operator knows of a wallet's call when he gives up its payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Nothing: it may wait in the wallet's queue still.
    MayWait,
    /// The wallet was started anew since. It keeps no calls over that.
    Ended,
}

/// What a transaction does for a payment that it does not pay as asked.
pub(crate) struct AsMade {
    /// Of each row, in the rows' order.
    pub(crate) rows: Vec<SettledRow>,
    /// What it pays beyond the rows: to others, or more than was asked.
    pub(crate) lost: Amount,
}

impl Settlement {
    /// Gives up a payment and returns its rows to their balances, by order of the operator.
    ///
    /// # Errors
    /// When it could still be paid: its bytes went out and no conflicting transaction is confirmed, or the wallet's
    /// history has it or cannot be read, or a call without an answer may still wait in the wallet's queue.
    pub fn release(
        &self,
        id: PaymentId,
        by: &str,
        why: &str,
        call: Call,
        now: UnixMillis,
    ) -> Result<(), SettlementError> {
        let refuse = refusal(id, "released");
        let state = self.ledger.payment(id).ok_or_else(|| refuse("there is no such payment"))?;
        match (&state.status, self.wallet.kind()) {
            (PaymentStatus::Reserved | PaymentStatus::Built, _) => {}
            (PaymentStatus::Settled | PaymentStatus::Released(_) | PaymentStatus::Undone(_), _) => {
                return Err(refuse("it is closed"));
            }
            (_, Kind::Sender) if state.built.is_none() => {
                // Whatever its history shows: of the name that it gave the payment the wallet has to know nothing.
                if let Some(txid) = &state.txid {
                    match self.wallet.lookup(txid, &[])? {
                        Lookup::NotFound => {}
                        Lookup::Conflicted(count) if count >= self.policy.confirmations.max(1) => {}
                        _ => return Err(refuse("its transaction is out there, and can still confirm")),
                    }
                }
                match self.seen(&state)? {
                    Found::Nothing => {}
                    Found::One(seen) => {
                        let pays = self.pays(&state, &seen.outputs)?;
                        return Err(refuse(if pays {
                            "the wallet's history has it; run payments to book it"
                        } else {
                            "the wallet's history has it, and it pays otherwise; resolve it as it was made"
                        }));
                    }
                    Found::Several(_) => {
                        return Err(refuse(
                            "the wallet's history has it more than once; resolve it with one of them",
                        ));
                    }
                }
                // A call that came back with a name waits nowhere.
                let waits = call == Call::MayWait && state.txid.is_none();
                if waits && now.since(state.changed_at) < WAITS_MS {
                    return Err(refuse(
                        "the history does not have it, and its call may still wait in the wallet's queue; start the \
                         wallet anew and say so (payments release --wallet-restarted), or wait until a day has gone by",
                    ));
                }
            }
            _ => {
                let inputs: Vec<InputId> = state.built.as_ref().map(|b| b.inputs.clone()).unwrap_or_default();
                let known = state.txid.as_ref().map(|txid| self.wallet.lookup(txid, &inputs)).transpose()?;
                if !matches!(known, Some(Lookup::Conflicted(n)) if n >= self.policy.confirmations.max(1)) {
                    return Err(refuse(
                        "its transaction went out and can still confirm; spend one of its coins in another \
                         transaction, wait until that is confirmed, then release",
                    ));
                }
            }
        }
        self.append(now, Entry::PaymentReleased { payment: id, why: format!("{by}: {why}") })?;
        self.edge(Edge::Released, id)
    }

    /// Books a settled payment back whose coins were spent by another transaction after a reorganisation, by order of the
    /// operator: its rows return to their balances, and are paid anew. Returns what returned. Whether those owners were
    /// paid by the other transaction only he can know.
    ///
    /// # Errors
    /// When it could still be paid: no other transaction that spends one of its coins is confirmed as deep as the pool
    /// asks, or the chain has a coin that it made.
    pub fn undo(
        &self,
        id: PaymentId,
        by: &str,
        why: &str,
        now: UnixMillis,
    ) -> Result<Amount, SettlementError> {
        let refuse = refusal(id, "undone");
        let state = self.ledger.payment(id).ok_or_else(|| refuse("there is no such payment"))?;
        if state.status != PaymentStatus::Settled {
            return Err(refuse("it is not settled"));
        }
        let settlement = self.ledger.reader().settlement(id)?;
        let Some(Entry::PaymentSettled { payment, txid, fee, rows, lost }) = settlement else {
            return Err(refuse("the ledger does not say how it was settled"));
        };
        let inputs = self.stored(id)?.map(|built| built.inputs).unwrap_or_default();
        let count = match self.wallet.lookup(&txid, &inputs)? {
            Lookup::Conflicted(count) if count >= self.policy.confirmations.max(1) => count,
            _ => {
                return Err(refuse(
                    "its transaction can still confirm: no other one that spends its coins is as deep as the pool asks",
                ));
            }
        };
        if !self.has_no_output(&state)? {
            return Err(refuse("the node's chain has a coin that it made, whatever the wallet says"));
        }
        let used = rows.iter().flat_map(|row| [row.sent, row.charged]);
        let back = Amount::sum(used).ok_or(SettlementError::Overflow("an undone payment"))?;
        let why = format!("{by}: {why}; another transaction spends its coins, with {count} confirmations");
        self.append(now, Entry::PaymentUndone { payment, txid, fee, rows, lost, why })?;
        self.edge(Edge::Undone, id)?;
        Ok(back)
    }

    /// Says which transaction a payment of unknown outcome became, by order of the operator. Of a settled payment that a
    /// new wallet knows nothing of: that its transaction stands, whatever the wallet says; it is not looked at again
    /// until the next start.
    ///
    /// # Errors
    /// When the wallet's history has no such transaction, it pays something else, or another payment has it.
    pub fn resolve(
        &self,
        id: PaymentId,
        txid: &TxId,
        by: &str,
        now: UnixMillis,
    ) -> Result<(), SettlementError> {
        let refuse = refusal(id, "resolved");
        let state = self.ledger.payment(id).ok_or_else(|| refuse("there is no such payment"))?;
        if state.status == PaymentStatus::Settled && state.txid.as_ref() == Some(txid) {
            self.note(by, "settled payment stands", format!("payment {id} is {txid}"), now)?;
            self.vouched.lock().insert(id);
            return Ok(());
        }
        self.of_unknown_outcome(&state, &refuse)?;
        let seen = self.wallet.history(UnixMillis(0))?;
        let found = seen.iter().find(|seen| seen.txid == *txid);
        let found = found.ok_or_else(|| refuse("the wallet's history has no such transaction"))?;
        if !self.pays(&state, &found.outputs)? {
            return Err(refuse("that transaction pays other addresses or amounts"));
        }
        if self.claimed(txid, id) {
            return Err(refuse("that transaction belongs to another payment"));
        }
        self.note(by, "payment resolved", format!("payment {id} is {txid}"), now)?;
        self.edge(Edge::Ordered, id)?;
        self.sent(&state, txid, now)
    }

    /// Books a transaction as it was made, though it pays otherwise than a payment asked, by order of the operator: what
    /// it pays to a row's address, up to the row, was sent; what a row did not get returns to its balance; what went out
    /// beyond that is the operator's loss. Returns that loss. Of a closed payment that was made once more, or after it was
    /// released: what it paid is taken from its owners' balances, as far as they have it.
    ///
    /// # Errors
    /// When the payment has stored bytes or is closed by this transaction; when the wallet's history has no such
    /// transaction, it is not confirmed as deep as the pool asks, or it is another payment's.
    pub fn resolve_as_made(
        &self,
        id: PaymentId,
        txid: &TxId,
        by: &str,
        now: UnixMillis,
    ) -> Result<Amount, SettlementError> {
        let refuse = refusal(id, "resolved as it was made");
        let state = self.ledger.payment(id).ok_or_else(|| refuse("there is no such payment"))?;
        if self.is_extra(&state, txid) {
            return self.book_extra(&state, txid, by, now);
        }
        self.of_unknown_outcome(&state, &refuse)?;
        if state.txid.as_ref().is_some_and(|known| known != txid) {
            return Err(refuse("its transaction is another one"));
        }
        let history = self.wallet.history(UnixMillis(0))?;
        let found = history.iter().find(|seen| seen.txid == *txid);
        let found = found.ok_or_else(|| refuse("the wallet's history has no such transaction"))?;
        let marker = found.marker.as_deref().filter(|marker| marker.starts_with("millpond "));
        if self.claimed(txid, id) || (marker.is_some() && marker != state.marker.as_deref()) {
            return Err(refuse("that transaction belongs to another payment"));
        }
        if found.time.0 < state.reserved_at.0.saturating_sub(CLOCK_MS) {
            return Err(refuse("that transaction is older than the payment"));
        }
        let known = match self.seen(&state)? {
            Found::Nothing => None,
            Found::One(seen) => Some(seen.txid),
            Found::Several(all) => all.iter().find(|one| *one == txid).or(all.first()).cloned(),
        };
        if let Some(known) = known.filter(|known| known != txid) {
            return Err(refuse(&format!("the wallet's history has it as {known}")));
        }
        self.is_deep(txid, &refuse)?;
        let paid = self.wallet.paid(txid)?;
        let own = self.own_of(state.rows.iter().map(|row| row.address.clone()).collect())?;
        let AsMade { rows, lost } = self.as_made(&state, &paid.outputs, &own)?;
        if marker.is_none() && rows.iter().all(|row| row.sent == Amount::ZERO) {
            return Err(refuse(
                "that transaction pays nobody of it; if the payment was not made, release it",
            ));
        }
        let detail = format!("payment {id} is {txid}, which pays otherwise: {lost} beyond its rows");
        self.note(by, "payment resolved as it was made", detail, now)?;
        self.edge(Edge::Ordered, id)?;
        self.sent(&state, txid, now)?;
        self.edge(Edge::Confirmed, id)?;
        let entry = Entry::PaymentSettled { payment: id, txid: txid.clone(), fee: paid.fee, rows, lost };
        self.append(now, entry)?;
        self.edge(Edge::Settled, id)?;
        Ok(lost)
    }

    /// Only what cannot be undone is booked by order.
    pub(crate) fn is_deep(
        &self,
        txid: &TxId,
        refuse: &impl Fn(&str) -> SettlementError,
    ) -> Result<(), SettlementError> {
        match self.wallet.lookup(txid, &[])? {
            Lookup::Confirmed(count) if count >= self.policy.confirmations.max(1) => Ok(()),
            _ => Err(refuse("that transaction is not confirmed as deep as the pool asks; wait for it")),
        }
    }

    /// What outputs do for a payment's rows. Addresses count by what they mean: a wallet may show another form of one.
    pub(crate) fn as_made(
        &self,
        state: &PaymentState,
        outputs: &[Output],
        own: &BTreeSet<String>,
    ) -> Result<AsMade, SettlementError> {
        let overflow = || SettlementError::Overflow("what a transaction pays");
        let same = |one: &str, other: &str| self.check.same(one, other);
        let mut left: Vec<(&str, Amount)> = Vec::new();
        for output in outputs.iter().filter(|output| !own.iter().any(|own| same(own, &output.address))) {
            match left.iter_mut().find(|(address, _)| same(address, &output.address)) {
                Some((_, sum)) => *sum = sum.checked_add(output.amount).ok_or_else(overflow)?,
                None => left.push((&output.address, output.amount)),
            }
        }
        let rows = state.rows.iter().map(|row| {
            // The wallet's own addresses need no output: their owner has it, as when all is paid as asked.
            let sent = match left.iter_mut().find(|(address, _)| same(address, &row.address)) {
                _ if own.contains(&row.address) => row.amount,
                None => Amount::ZERO,
                Some((_, left)) => {
                    let sent = row.amount.min(*left);
                    *left = left.checked_sub(sent).unwrap_or(Amount::ZERO);
                    sent
                }
            };
            SettledRow { sent, charged: Amount::ZERO }
        });
        let rows = rows.collect();
        let lost = Amount::sum(left.into_iter().map(|(_, amount)| amount)).ok_or_else(overflow)?;
        Ok(AsMade { rows, lost })
    }

    /// Only a call that made and sent a transaction in one leaves an outcome to find out.
    fn of_unknown_outcome(
        &self,
        state: &PaymentState,
        refuse: &impl Fn(&str) -> SettlementError,
    ) -> Result<(), SettlementError> {
        if state.built.is_some() {
            return Err(refuse("it has a stored transaction; run payments to follow that"));
        }
        if !matches!(state.status, PaymentStatus::Submitting | PaymentStatus::Unknown(_)) {
            return Err(refuse("its outcome is not unknown"));
        }
        Ok(())
    }

    fn note(&self, by: &str, action: &str, detail: String, now: UnixMillis) -> Result<(), SettlementError> {
        self.append(now, Entry::Noted { by: by.to_owned(), action: action.to_owned(), detail })?;
        Ok(())
    }
}

pub(crate) fn refusal(payment: PaymentId, order: &'static str) -> impl Fn(&str) -> SettlementError {
    move |why| SettlementError::Order { payment, order, why: why.to_owned() }
}
