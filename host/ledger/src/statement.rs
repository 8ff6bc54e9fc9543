//! One owner's statement: every entry that touched what he has, with a proof for each income he was credited of.
//!
//! Each line says by how much it changed his balances, as the book has it. The lines of a statement add up to what he
//! has, whatever became of an income in between: nobody has to know the rules of the book to add them.

use crate::reader::broken;
use crate::{
    Account, Book, Entry, IncomeKey, LedgerError, Owner, PaymentId, Proof, Reader, Reversal, SumNode, TxId,
    proof,
};
use millpond_types::{Amount, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an entry did to the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum StatementWhat {
    /// He was credited a part of an income, not payable yet. The proof leads from the part to the root, whose sum is
    /// all that was divided.
    Credited {
        /// The income.
        key: IncomeKey,
        /// His part.
        part: Amount,
        /// The Merkle-sum root in the entry.
        root: SumNode,
        /// From his part to the root.
        proof: Proof,
    },
    /// The income is final: the part became payable, or was paid by the chain directly. Nothing changes for him when
    /// the operator had made the part good before.
    Matured {
        /// The income.
        key: IncomeKey,
        /// His part.
        part: Amount,
        /// Paid by the chain, in the coinbase.
        direct: bool,
    },
    /// The chain took the income back. What is payable already stays so.
    Reversed {
        /// The income.
        key: IncomeKey,
        /// His part.
        part: Amount,
        /// With `Keep` he keeps it.
        how: Reversal,
    },
    /// The chain has the income again. What the operator made good stays with him; what a coinbase paid counts again.
    Reinstated {
        /// The income.
        key: IncomeKey,
        /// His part.
        part: Amount,
    },
    /// Credited for shares from the reserve.
    Accrued {
        /// First share of the batch.
        first: u64,
        /// Last share of the batch.
        last: u64,
        /// His credit.
        part: Amount,
    },
    /// Reserved for a payment.
    Reserved {
        /// The payment.
        payment: PaymentId,
        /// What was reserved.
        amount: Amount,
        /// Where it goes.
        address: String,
    },
    /// Paid.
    Paid {
        /// The payment.
        payment: PaymentId,
        /// The transaction.
        txid: TxId,
        /// What was sent.
        sent: Amount,
        /// His part of the network fee.
        charged: Amount,
    },
    /// The payment did not happen; the reserved amount is back.
    Released {
        /// The payment.
        payment: PaymentId,
        /// What came back.
        amount: Amount,
    },
    /// A payment that was settled cannot have happened; what it sent, and his part of its network fee, are back.
    Undone {
        /// The payment.
        payment: PaymentId,
        /// The transaction.
        txid: TxId,
        /// What came back.
        amount: Amount,
    },
    /// The operator corrected the balance.
    Adjusted {
        /// By how much; above zero in the owner's favour.
        by: i128,
        /// Why.
        reason: String,
    },
    /// Units that belong to nobody alone (carry, reserve) went into an entry of this kind, or came back from it.
    Pooled {
        /// The entry's kind.
        entry: String,
    },
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// The ledger's record.
    pub seq: u64,
    /// Its time.
    pub at: UnixMillis,
    /// By how much it changed what he was credited and cannot be paid yet.
    pub immature: i128,
    /// By how much it changed what he can be paid.
    pub payable: i128,
    /// By how much it changed what he was sent in all.
    pub paid: i128,
    /// What it did.
    #[serde(flatten)]
    pub what: StatementWhat,
}

/// All lines of one owner, and what he has now: the sums of the lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Whose.
    pub owner: Owner,
    /// Oldest first.
    pub lines: Vec<StatementLine>,
    /// Credited, not payable yet.
    pub immature: Amount,
    /// Payable.
    pub payable: Amount,
    /// Sent to him so far.
    pub paid: Amount,
}

/// What an owner has in a book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    immature: i128,
    payable: i128,
    paid: i128,
}

impl Standing {
    fn of(book: &Book, owner: &Owner) -> Self {
        Self {
            immature: book.balance(&Account::Immature(owner.clone())),
            payable: book.balance(&Account::Payable(owner.clone())),
            paid: book.paid.get(owner),
        }
    }
}

pub(crate) fn statement(reader: &Reader, owner: &Owner) -> Result<Statement, LedgerError> {
    let mut lines = Vec::new();
    let mut book = Book::default();
    let mut before = Standing::default();
    let mut known = Known::default();
    reader.for_each_record(&mut |record, _| {
        let told = known.line(&record.entry, owner)?;
        book.replay(record).map_err(|error| broken(record.seq, error))?;
        let after = Standing::of(&book, owner);
        let pooled = || StatementWhat::Pooled { entry: record.entry.kind().to_owned() };
        if let Some(what) = told.or_else(|| (after != before).then(pooled)) {
            lines.push(StatementLine {
                seq: record.seq,
                at: record.at,
                immature: after.immature.saturating_sub(before.immature),
                payable: after.payable.saturating_sub(before.payable),
                paid: after.paid.saturating_sub(before.paid),
                what,
            });
        }
        before = after;
        Ok(())
    })?;
    let (immature, payable, paid) = (book.immature(owner), book.payable(owner), book.paid(owner));
    Ok(Statement { owner: owner.clone(), lines, immature, payable, paid })
}

/// What later entries refer to.
#[derive(Debug, Default)]
struct Known {
    /// The owner's part of each income, and whether the chain pays it.
    parts: BTreeMap<IncomeKey, (Amount, bool)>,
    /// His row of each payment, and what it reserved.
    payments: BTreeMap<PaymentId, (usize, Amount)>,
}

impl Known {
    /// What an entry is to the owner.
    fn line(&mut self, entry: &Entry, owner: &Owner) -> Result<Option<StatementWhat>, LedgerError> {
        let Self { parts, payments } = self;
        Ok(match entry {
            Entry::IncomeAllocated(income) => match proof::prove(&income.key, &income.parts, owner)? {
                None => {
                    // Divided again, and not for him.
                    parts.remove(&income.key);
                    None
                }
                Some(proof) => {
                    let part = income.parts.of(owner);
                    parts.insert(income.key.clone(), (part, income.direct));
                    Some(StatementWhat::Credited { key: income.key.clone(), part, root: income.root, proof })
                }
            },
            Entry::Matured { key } => parts.get(key).map(|(part, direct)| StatementWhat::Matured {
                key: key.clone(),
                part: *part,
                direct: *direct,
            }),
            Entry::Reversed { key, how, .. } => parts.get(key).map(|(part, _)| StatementWhat::Reversed {
                key: key.clone(),
                part: *part,
                how: *how,
            }),
            Entry::Reinstated { key } => {
                parts.get(key).map(|(part, _)| StatementWhat::Reinstated { key: key.clone(), part: *part })
            }
            Entry::Accrued { first, last, parts, .. } => match parts.of(owner) {
                Amount::ZERO => None,
                part => Some(StatementWhat::Accrued { first: first.0, last: last.0, part }),
            },
            Entry::PaymentReserved { payment, rows } => {
                rows.iter().enumerate().find(|(_, row)| row.owner == *owner).map(|(at, row)| {
                    payments.insert(*payment, (at, row.amount));
                    let address = row.address.clone();
                    StatementWhat::Reserved { payment: *payment, amount: row.amount, address }
                })
            }
            Entry::PaymentSettled { payment, txid, rows, .. } => {
                let done = payments.get(payment).and_then(|(at, _)| rows.get(*at));
                done.map(|done| StatementWhat::Paid {
                    payment: *payment,
                    txid: txid.clone(),
                    sent: done.sent,
                    charged: done.charged,
                })
            }
            Entry::PaymentReleased { payment, .. } => payments
                .get(payment)
                .map(|(_, amount)| StatementWhat::Released { payment: *payment, amount: *amount }),
            Entry::PaymentUndone { payment, txid, rows, .. } => {
                let done = payments.get(payment).and_then(|(at, _)| rows.get(*at));
                done.map(|done| StatementWhat::Undone {
                    payment: *payment,
                    txid: txid.clone(),
                    amount: Amount(done.sent.0.saturating_add(done.charged.0)),
                })
            }
            Entry::Adjustment { postings, reason, .. } => {
                let mine = |account: &Account| matches!(account, Account::Payable(of) if of == owner);
                let by =
                    postings.iter().filter(|p| mine(&p.account)).map(|p| p.amount.saturating_neg()).sum();
                (by != 0).then(|| StatementWhat::Adjusted { by, reason: reason.clone() })
            }
            Entry::Reaccrued { .. }
            | Entry::PaymentProgress { .. }
            | Entry::NetworkFee { .. }
            | Entry::Noted { .. }
            | Entry::Checkpoint { .. } => None,
        })
    }
}
