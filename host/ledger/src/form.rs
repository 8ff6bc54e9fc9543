//! The forms in which a book was ever stored by a checkpoint. Records of checkpoints stay in the chain for ever, so each
//! form stays known: a ledger is read whichever version wrote it.

use crate::balances::Balances;
use crate::book::{IncomeState, PaymentState};
use crate::sums::Sums;
use crate::totals::Counters;
use crate::{Book, IncomeKey, LedgerError, PaymentId};
use millpond_types::Digest;
use serde::Serialize;
use std::collections::BTreeMap;

/// The first form: a book without what each owner was sent. The order of fields is that of its bytes.
#[derive(Serialize)]
struct First<'a> {
    balances: &'a Balances,
    incomes: &'a BTreeMap<IncomeKey, IncomeState>,
    payments: &'a BTreeMap<PaymentId, PaymentState>,
    accrued_to: u64,
    counters: &'a Counters,
}

impl Book {
    /// The book that [`Book::to_bytes`] wrote; `None` for another form. A book of the first form is one of them: what
    /// each owner was sent is not in it, and is counted again from the records.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut book: Self = serde_json::from_slice(bytes).ok()?;
        book.sums = Sums::walk(&book);
        Some(book)
    }

    /// The book as bytes, the same for equal books: what a checkpoint stores.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, LedgerError> {
        bytes(self)
    }

    /// Whether a checkpoint's digest is this book's, in any form that was ever written.
    pub(crate) fn is_vouched_by(&self, digest: &Digest) -> Result<bool, LedgerError> {
        if *digest == Digest::of(&self.to_bytes()?) {
            return Ok(true);
        }
        let first = First {
            balances: &self.balances,
            incomes: &self.incomes,
            payments: &self.payments,
            accrued_to: self.accrued_to,
            counters: &self.counters,
        };
        Ok(*digest == Digest::of(&bytes(&first)?))
    }
}

fn bytes(book: &impl Serialize) -> Result<Vec<u8>, LedgerError> {
    serde_json::to_vec(book).map_err(|_| LedgerError::Overflow("a checkpoint of the book"))
}
