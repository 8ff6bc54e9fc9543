//! One owner's statement: every entry that touched his balance, with a proof for each income he was credited of.

use crate::{
    Book, Entry, IncomeKey, LedgerError, Owner, PaymentId, Proof, Reader, Reversal, SumNode, TxId, proof,
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
    /// The part became payable (or was paid by the chain directly).
    Matured {
        /// The income.
        key: IncomeKey,
        /// His part.
        part: Amount,
        /// Paid by the chain, in the coinbase.
        direct: bool,
    },
    /// The chain took the income back.
    Reversed {
        /// The income.
        key: IncomeKey,
        /// His part.
        part: Amount,
        /// With `Keep` he keeps it.
        how: Reversal,
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
    /// The operator corrected the balance.
    Adjusted {
        /// By how much; above zero in the owner's favour.
        by: i128,
        /// Why.
        reason: String,
    },
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// The ledger's record.
    pub seq: u64,
    /// Its time.
    pub at: UnixMillis,
    /// What it did.
    #[serde(flatten)]
    pub what: StatementWhat,
}

/// All lines of one owner, and what he has now.
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
}

pub(crate) fn statement(reader: &Reader, book: &Book, owner: &Owner) -> Result<Statement, LedgerError> {
    let mut lines = Vec::new();
    let mut parts = BTreeMap::<IncomeKey, (Amount, bool)>::new();
    let mut payments = BTreeMap::<PaymentId, (usize, Amount)>::new();
    reader.for_each_record(&mut |record, _| {
        if let Some(what) = line(&record.entry, owner, &mut parts, &mut payments)? {
            lines.push(StatementLine { seq: record.seq, at: record.at, what });
        }
        Ok(())
    })?;
    let (immature, payable) = (book.immature(owner), book.payable(owner));
    Ok(Statement { owner: owner.clone(), lines, immature, payable })
}

fn line(
    entry: &Entry,
    owner: &Owner,
    parts: &mut BTreeMap<IncomeKey, (Amount, bool)>,
    payments: &mut BTreeMap<PaymentId, (usize, Amount)>,
) -> Result<Option<StatementWhat>, LedgerError> {
    Ok(match entry {
        Entry::IncomeAllocated(income) => match proof::prove(&income.key, &income.parts, owner)? {
            None => None,
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
        Entry::Adjustment { postings, reason, .. } => {
            let mine = |account: &crate::Account| matches!(account, crate::Account::Payable(o) if o == owner);
            let by = postings.iter().filter(|p| mine(&p.account)).map(|p| p.amount.saturating_neg()).sum();
            (by != 0).then(|| StatementWhat::Adjusted { by, reason: reason.clone() })
        }
        _ => None,
    })
}
