//! What can go wrong with the books.

use crate::{Account, IncomeKey, PaymentId};
use millpond_segments::LogError;

/// Why an entry was refused or the log does not check.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// An allocation list that breaks its form.
    #[error("allocation refused: {0}")]
    Allocation(&'static str),
    /// The parts of an income do not sum to it.
    #[error("income {key}: parts sum to {parts}, but {gross} is to be divided (amount and carried-in units)")]
    NotConserved {
        /// The income.
        key: IncomeKey,
        /// Sum of the parts.
        parts: u64,
        /// Amount plus carried-in units.
        gross: u64,
    },
    /// The postings of an entry do not sum to zero.
    #[error("the entry's debits and credits differ by {0}")]
    Unbalanced(i128),
    /// A liability (or the immature income) would fall below zero.
    #[error("account {account} holds {balance}; the entry would take it to {after}, below zero")]
    Overdrawn {
        /// The account.
        account: Account,
        /// What it holds, on its natural side.
        balance: i128,
        /// What it would hold.
        after: i128,
    },
    /// Arithmetic that leaves its integers.
    #[error("{0} does not fit its integer")]
    Overflow(&'static str),
    /// An income that is recorded already, with other content.
    #[error("income {0} is recorded already with another amount or allocation; it is not counted twice")]
    IncomeDiffers(IncomeKey),
    /// An income that is not known.
    #[error("income {0} is not in the ledger")]
    UnknownIncome(IncomeKey),
    /// An income in a state that does not allow the entry.
    #[error("income {key} is {is}; it cannot be {wanted}")]
    IncomeState {
        /// The income.
        key: IncomeKey,
        /// The state it is in.
        is: &'static str,
        /// What the entry wants.
        wanted: &'static str,
    },
    /// Accrued shares that overlap shares credited before.
    #[error("shares {first} to {last} overlap shares up to {done} that were credited before")]
    AccruedTwice {
        /// First share of the batch.
        first: u64,
        /// Last share of the batch.
        last: u64,
        /// Credited so far.
        done: u64,
    },
    /// An entry that no record holds.
    #[error(
        "an entry of kind {kind} takes {bytes} bytes, a record {limit} at most: the scheme keeps too much for so many miners; \
         swap to one with fewer or smaller cells"
    )]
    TooLarge {
        /// Its kind.
        kind: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A payment id that is not the next one.
    #[error("payment {0} is not the next payment number")]
    PaymentNumber(PaymentId),
    /// A payment that is not known.
    #[error("payment {0} is not in the ledger")]
    UnknownPayment(PaymentId),
    /// A payment in a state that does not allow the step.
    #[error("payment {payment} is {is}; it cannot be {wanted}")]
    PaymentState {
        /// The payment.
        payment: PaymentId,
        /// The state it is in.
        is: &'static str,
        /// The step that the entry wants.
        wanted: &'static str,
    },
    /// A payment whose rows do not fit.
    #[error("payment {payment}: {why}")]
    PaymentRows {
        /// The payment.
        payment: PaymentId,
        /// What does not fit.
        why: &'static str,
    },
    /// A checkpoint of another book than the one that stands before it.
    #[error("a checkpoint does not agree with the book that the records before it add up to")]
    Checkpoint,
    /// A text that an entry must give and does not.
    #[error("an entry of kind {0} needs to say who and why, in 1 to 1000 bytes each")]
    Reason(&'static str),
    /// The log under the ledger failed.
    #[error("the ledger's log: {0}")]
    Log(#[from] LogError),
    /// An earlier append failed on the disk; what the log holds must be read anew.
    #[error("the ledger stopped after a failed write; mend the disk and restart")]
    Stopped,
    /// A record that does not follow from the one before it.
    #[error("ledger record {seq} does not check: {why}; restore the log from a backup")]
    Broken {
        /// Its number.
        seq: u64,
        /// What does not check.
        why: String,
    },
    /// A statement that cannot be written.
    #[error("writing the export failed: {0}")]
    Export(#[from] std::io::Error),
}
