//! Transactions that a payment should not have. A wallet that can only send makes one with each call, and whatever stands
//! between it and us may hold a call back or say it again: then a payment is made after it was released, or twice. Each
//! transaction carries its payment's marker, so it is found; nothing new is paid before the operator has had it booked.
//!
//! The ledger has such a transaction as an adjustment: the money left the wallet, its owners got it. As far as they
//! have a balance it is taken from there, since they were paid that much more; the rest is the operator's loss. The
//! adjustment's reason names the transaction, so that it is booked once, and not told of again.

use crate::orders::{AsMade, refusal};
use crate::sending::CLOCK_MS;
use crate::{Kind, Lookup, Report, Settlement, SettlementError, Step};
use millpond_ledger::{
    Account, Entry, PaymentId, PaymentRow, PaymentState, PaymentStatus, Posting, SettledRow, TxId,
};
use millpond_types::{Amount, UnixMillis};
use std::collections::BTreeMap;

/// After its release a payment is looked for in the history for this long,
const RELEASED_MS: u64 = 8 * 86_400_000;
/// after its settlement for this long.
const SETTLED_MS: u64 = 86_400_000;

/// A payment whose marker is looked for.
struct Marked {
    id: PaymentId,
    /// Its own transaction: the one that was booked, or will be.
    own: Option<TxId>,
    released: bool,
    status: &'static str,
    /// When its call was announced.
    since: UnixMillis,
}

impl Settlement {
    /// Tells of transactions that carry a payment's marker and are not it. Whether there are any that are not booked.
    pub(crate) fn extras(&self, now: UnixMillis, report: &mut Report) -> Result<bool, SettlementError> {
        if self.wallet.kind() == Kind::Builder {
            return Ok(false);
        }
        let by_marker = self.by_marker(now);
        let Some(since) = by_marker.values().map(|marked| marked.since.0.saturating_sub(CLOCK_MS)).min()
        else {
            return Ok(false);
        };
        let history = match self.wallet.marked(UnixMillis(since)) {
            Ok(history) => history,
            // What was released may have been made since: without the history that is not known.
            Err(error) if by_marker.values().any(|marked| marked.released) => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        let mut found = false;
        for (txid, marker) in history {
            let Some(marked) = by_marker.get(&marker).filter(|marked| marked.own.as_ref() != Some(&txid))
            else {
                continue;
            };
            // One that never confirms pays nobody.
            let stands =
                matches!(self.wallet.lookup(&txid, &[]), Ok(Lookup::Waiting | Lookup::Confirmed(_)) | Err(_));
            if !stands || self.is_booked(marked.id, &txid)? {
                continue;
            }
            found = true;
            let what = if marked.released { "was made after it was released" } else { "was made once more" };
            let note = format!(
                "it {what}, as {txid}: nothing new is paid before that is booked; find out why, wait until it is \
                 confirmed, then `millpond payments resolve {} --txid {txid} --as-made`",
                marked.id
            );
            report.extra.push(Step { payment: marked.id, state: marked.status, note, again: false });
        }
        Ok(found)
    }

    /// Payments of late whose call was announced, by what marks it. One whose outcome is not known has its own way.
    fn by_marker(&self, now: UnixMillis) -> BTreeMap<String, Marked> {
        let book = self.ledger.book();
        // A payment of unknown outcome is the newest one for as long as it is that.
        let young = |state: &&PaymentState| {
            now.since(state.reserved_at) < RELEASED_MS || now.since(state.changed_at) < RELEASED_MS
        };
        let marked = |state: &PaymentState| {
            let age = now.since(state.changed_at);
            let released = state.status.is_void();
            let looked_for = match &state.status {
                PaymentStatus::Released(_) | PaymentStatus::Undone(_) => age < RELEASED_MS,
                PaymentStatus::Settled => age < SETTLED_MS,
                _ => state.txid.is_some(),
            };
            let marker = state.marker.clone().filter(|_| looked_for)?;
            let own = state.txid.clone().filter(|_| !released);
            let since = state.submitted_at.unwrap_or(state.reserved_at);
            Some((marker, Marked { id: state.id, own, released, status: state.status.name(), since }))
        };
        book.payments().rev().take_while(young).filter_map(marked).collect()
    }

    /// Whether a transaction is none that the payment's own state can lead to.
    pub(crate) fn is_extra(&self, state: &PaymentState, txid: &TxId) -> bool {
        // Only what a wallet sends by itself can be made twice: signed bytes are one transaction.
        if state.marker.is_none() {
            return false;
        }
        match &state.status {
            PaymentStatus::Released(_) | PaymentStatus::Undone(_) => true,
            PaymentStatus::Settled => state.txid.as_ref() != Some(txid),
            _ => false,
        }
    }

    /// Books a transaction that a closed payment should not have. Returns the operator's loss.
    pub(crate) fn book_extra(
        &self,
        state: &PaymentState,
        txid: &TxId,
        by: &str,
        now: UnixMillis,
    ) -> Result<Amount, SettlementError> {
        let refuse = refusal(state.id, "resolved as it was made");
        let history = self.wallet.marked(UnixMillis(0))?;
        let is_it = |(seen, marker): &(TxId, String)| seen == txid && Some(marker) == state.marker.as_ref();
        if !history.iter().any(is_it) {
            return Err(refuse(
                "it is closed, and the wallet's history has no such transaction with its marker",
            ));
        }
        if self.claimed(txid, state.id) {
            return Err(refuse("that transaction belongs to another payment"));
        }
        if self.is_booked(state.id, txid)? {
            return Err(refuse("that transaction is booked already"));
        }
        self.is_deep(txid, &refuse)?;
        let paid = self.wallet.paid(txid)?;
        let own = self.own_of(state.rows.iter().map(|row| row.address.clone()).collect())?;
        let AsMade { rows, lost } = self.as_made(state, &paid.outputs, &own)?;
        // To the wallet's own addresses nothing went out.
        let went_out = |(row, done): &(&PaymentRow, &SettledRow)| {
            !own.contains(&row.address) && done.sent > Amount::ZERO
        };
        let rows: Vec<_> = state.rows.iter().zip(&rows).filter(went_out).collect();
        let mut loss = i128::from(lost.0);
        let mut out = i128::from(paid.fee.0).saturating_add(loss);
        let mut postings = vec![Posting { account: Account::NetworkFees, amount: i128::from(paid.fee.0) }];
        let book = self.ledger.book();
        for (row, done) in rows {
            let taken = done.sent.min(book.payable(&row.owner));
            let missing = done.sent.checked_sub(taken).unwrap_or(Amount::ZERO);
            out = out.saturating_add(i128::from(done.sent.0));
            loss = loss.saturating_add(i128::from(missing.0));
            let account = Account::Payable(row.owner.clone());
            postings.push(Posting { account, amount: i128::from(taken.0) });
        }
        drop(book);
        postings.push(Posting { account: Account::OperatorLoss, amount: loss });
        postings.push(Posting { account: Account::Wallet, amount: out.saturating_neg() });
        let loss = u64::try_from(loss).map_err(|_| SettlementError::Overflow("what a transaction pays"))?;
        let (by, reason) = (by.to_owned(), reason(state.id, txid));
        self.append(now, Entry::Adjustment { postings, by, reason })?;
        Ok(Amount(loss))
    }

    /// Whether the ledger has an extra transaction of a payment. It is read back to where the payment begins.
    fn is_booked(&self, id: PaymentId, txid: &TxId) -> Result<bool, SettlementError> {
        let wanted = reason(id, txid);
        let mut booked = false;
        self.ledger.reader().for_each_record_back(&mut |record| {
            booked |= matches!(&record.entry, Entry::Adjustment { reason, .. } if *reason == wanted);
            let begins = matches!(&record.entry, Entry::PaymentReserved { payment, .. } if *payment == id);
            Ok(!booked && !begins)
        })?;
        Ok(booked)
    }
}

/// What an extra transaction is booked for: the ledger is searched for these words.
fn reason(id: PaymentId, txid: &TxId) -> String {
    format!("payment {id}{BOOKED}{txid}")
}

const BOOKED: &str = " was made once more, by ";

/// The transaction that an adjustment with this reason books, if it is one of these.
pub(crate) fn booked_as_extra(said: &str) -> Option<TxId> {
    let (payment, txid) = said.strip_prefix("payment ")?.split_once(BOOKED)?;
    let (id, txid) = (PaymentId(payment.parse().ok()?), TxId(txid.to_owned()));
    (reason(id, &txid) == said).then_some(txid)
}
