//! What every owner's account consists of, by owner: kept in the index of accounts, so that a page of one account is read
//! without walking the ledger. It holds nothing that the log does not.

use crate::reader::broken;
use crate::{
    Account, AccountIndex, Allocation, Entry, Head, IncomeKey, IndexError, Ledger, Owner, PaymentId, Reader,
    Record,
};
use millpond_types::{Digest, ShareSeq, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an entry is to its owner. What became of it since is in the book: the income's status, the payment's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnedWhat {
    /// A part of an income.
    Income(IncomeKey),
    /// Credit for shares, from the reserve.
    Accrued {
        /// The first share.
        first: ShareSeq,
        /// The last.
        last: ShareSeq,
    },
    /// Reserved for a payment.
    Payment(PaymentId),
    /// Corrected by the operator, who said why.
    Adjusted(String),
}

/// One entry of an owner's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// The ledger's record.
    pub seq: u64,
    /// Its time.
    pub at: UnixMillis,
    /// What it is.
    pub what: OwnedWhat,
    /// His part of it, below zero when it was taken from him.
    pub amount: i128,
}

/// What a record is to all of its owners, and what of it is each one's, in their order: there may be a million of them.
pub(crate) fn owned(record: &Record) -> Option<(OwnedWhat, Vec<(&Owner, i128)>)> {
    Some(match &record.entry {
        Entry::IncomeAllocated(income) => (OwnedWhat::Income(income.key.clone()), parts(&income.parts)),
        Entry::Accrued { first, last, parts: credits, .. } => {
            (OwnedWhat::Accrued { first: *first, last: *last }, parts(credits))
        }
        Entry::PaymentReserved { payment, rows } => {
            let rows = rows.iter().map(|row| (&row.owner, -i128::from(row.amount.0)));
            (OwnedWhat::Payment(*payment), rows.collect())
        }
        Entry::Adjustment { postings, reason, .. } => {
            // Several postings to one owner are one entry of his: it is kept under the record's number.
            let mut sums: BTreeMap<&Owner, i128> = BTreeMap::new();
            for posting in postings {
                if let Account::Payable(owner) = &posting.account {
                    let sum = sums.entry(owner).or_default();
                    *sum = sum.saturating_sub(posting.amount);
                }
            }
            (OwnedWhat::Adjusted(reason.clone()), sums.into_iter().collect())
        }
        _ => return None,
    })
}

fn parts(allocation: &Allocation) -> Vec<(&Owner, i128)> {
    allocation.shares().iter().map(|part| (&part.0, i128::from(part.1.0))).collect()
}

impl AccountIndex {
    /// Takes in the records after the index's own head, or all of them when it is of another history. Gives how many.
    pub(crate) fn catch_up(&self, reader: &Reader, head: &Head) -> Result<u64, IndexError> {
        let from = self.head()?.unwrap_or_default();
        let same = |(_, digest)| digest == from.digest;
        let known =
            from.seq <= head.seq && reader.record(from.seq).is_ok_and(|found| found.is_some_and(same));
        let from = if known { from } else { Head::default() };
        if !known {
            self.forget()?;
        }
        let mut failed = None;
        let read = reader.for_each_record_after(&from, &mut |record, bytes| {
            let at = Head { seq: record.seq, digest: Digest::of(bytes) };
            self.own(record, &at).map_err(|error| {
                let told = broken(record.seq, &error);
                failed = Some(error);
                told
            })
        });
        match (read, failed) {
            (Ok(head), _) => Ok(head.seq.saturating_sub(from.seq)),
            (Err(_), Some(error)) => Err(error),
            (Err(error), None) => Err(self.unreadable(error.to_string())),
        }
    }
}

impl Ledger {
    /// An owner's entries before a record (or all), newest first, at most `limit`. Read from the index: it costs the same
    /// however long the history is. `None` while there is no index.
    #[must_use]
    pub fn owned(&self, owner: &Owner, before: Option<u64>, limit: usize) -> Option<Vec<Owned>> {
        let index = self.reading.read().clone()?;
        index.owned(owner, before.unwrap_or(u64::MAX), limit).ok()
    }
}
