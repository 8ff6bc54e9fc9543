//! What every owner's account consists of, by owner: kept in the balance index, so that a page of one account is read
//! without walking the ledger. As the balances beside it, it holds nothing that the log does not.

use crate::reader::broken;
use crate::{
    Account, BalanceIndex, Entry, Head, IncomeKey, IndexError, Ledger, Owner, PaymentId, Reader, Record,
};
use millpond_types::{Amount, Digest, ShareSeq, UnixMillis};
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

/// The owners of a record and what it is to each.
pub(crate) fn owned(record: &Record) -> Vec<(Owner, Owned)> {
    let (seq, at) = (record.seq, record.at);
    let of = |owner: &Owner, amount: i128, what: OwnedWhat| (owner.clone(), Owned { seq, at, what, amount });
    let plus = |amount: &Amount| i128::from(amount.0);
    match &record.entry {
        Entry::IncomeAllocated(income) => {
            let what = || OwnedWhat::Income(income.key.clone());
            income.parts.shares().iter().map(|part| of(&part.0, plus(&part.1), what())).collect()
        }
        Entry::Accrued { first, last, parts, .. } => {
            let what = || OwnedWhat::Accrued { first: *first, last: *last };
            parts.shares().iter().map(|part| of(&part.0, plus(&part.1), what())).collect()
        }
        Entry::PaymentReserved { payment, rows } => {
            rows.iter().map(|row| of(&row.owner, -plus(&row.amount), OwnedWhat::Payment(*payment))).collect()
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
            sums.into_iter().map(|(owner, sum)| of(owner, sum, OwnedWhat::Adjusted(reason.clone()))).collect()
        }
        _ => Vec::new(),
    }
}

impl BalanceIndex {
    /// Takes in the records after the index's own head, or all of them when it is of another history.
    pub(crate) fn catch_up(&self, reader: &Reader, head: &Head) -> Result<(), IndexError> {
        let from = self.owned_head()?.unwrap_or_default();
        let same = |(_, digest)| digest == from.digest;
        let known =
            from.seq <= head.seq && reader.record(from.seq).is_ok_and(|found| found.is_some_and(same));
        let from = if known { from } else { Head::default() };
        if !known {
            self.forget_owned()?;
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
            (Ok(_), _) => Ok(()),
            (Err(_), Some(error)) => Err(error),
            (Err(error), None) => Err(self.error(sled::Error::Unsupported(error.to_string()))),
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
