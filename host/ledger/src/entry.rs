//! Entries: everything that may happen to money, and the record that chains them.

use crate::{
    Account, Allocation, Class, LedgerError, Owner, PaymentId, PaymentRow, Progress, SettledRow, SumNode,
    TxId, proof,
};
use millpond_segments::MAX_PAYLOAD;
use millpond_types::{Amount, Digest, ShareSeq, UnixMillis};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What makes an income unique: block hash, outpoint or uncle, as the chain adapter gives it; 1 to 256 bytes,
/// written in hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncomeKey(Vec<u8>);

impl IncomeKey {
    /// From bytes; `None` when there are none or more than 256.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (1..=256).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for IncomeKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = hex::decode(text).map_err(|_| "an income key is hex")?;
        Self::new(bytes).ok_or("an income key has 1 to 256 bytes")
    }
}

impl From<IncomeKey> for String {
    fn from(key: IncomeKey) -> Self {
        hex::encode(key.0)
    }
}

impl fmt::Display for IncomeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// What becomes of the allocation of an income that the chain took back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversal {
    /// The credits are forgotten.
    Drop,
    /// The credits are forgotten and the scheme's cells are restored; in the books the same as `Drop`.
    Restore,
    /// The miners keep their credits, which become payable; the operator bears the loss.
    Keep,
    /// The credits are forgotten, but for the reserve's: it keeps its part, and the operator bears that loss.
    KeepReserve,
}

impl Reversal {
    /// Its name, as in listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Restore => "restore",
            Self::Keep => "keep",
            Self::KeepReserve => "keep-reserve",
        }
    }
}

/// An income and how it is divided: one entry per income.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomeAllocated {
    /// What makes it unique.
    pub key: IncomeKey,
    /// What the chain paid.
    pub amount: Amount,
    /// Units of the carry account that are divided along with it.
    pub carry_in: Amount,
    /// The chain paid the owners itself (SOLO in the coinbase): at maturity nothing becomes payable, it is paid.
    pub direct: bool,
    /// Units of the reserve that are divided along with it. Zero, and not written, for most schemes.
    #[serde(default, skip_serializing_if = "nothing")]
    pub reserve_in: Amount,
    /// The parts; they sum to `amount + carry_in + reserve_in`.
    pub parts: Allocation,
    /// The Merkle-sum root over `parts`.
    pub root: SumNode,
    /// The share that ends its windows: the journal's policy at this share divided it, and says what becomes of it
    /// when it is lost.
    #[serde(default)]
    pub end: ShareSeq,
    /// The payout scheme's change of state that belongs to this allocation; opaque here, atomic with it.
    #[serde(with = "hex_bytes", default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<u8>,
    /// What each owner was due, where a coinbase paid many and could not pay all of them: it sums to the amount as `parts`
    /// do, which are what the chain paid. Empty, and not written, for every other income.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub due: Allocation,
}

impl IncomeAllocated {
    /// Puts an income's entry together and computes its root.
    ///
    /// # Errors
    /// When the parts do not sum to `amount + carry_in`.
    pub fn new(
        key: IncomeKey,
        amount: Amount,
        carry_in: Amount,
        parts: Allocation,
        state: Vec<u8>,
    ) -> Result<Self, LedgerError> {
        Self::drawing(key, amount, [carry_in, Amount::ZERO], parts, state)
    }

    /// The same, of an income that draws on the pool's own money: on the carry account, and on the reserve.
    ///
    /// # Errors
    /// When the parts do not sum to the amount and both draws.
    pub fn drawing(
        key: IncomeKey,
        amount: Amount,
        [carry_in, reserve_in]: [Amount; 2],
        parts: Allocation,
        state: Vec<u8>,
    ) -> Result<Self, LedgerError> {
        let root = proof::root(&key, &parts)?;
        let end = ShareSeq(0);
        let (direct, due) = (false, Allocation::default());
        let income = Self { key, amount, carry_in, reserve_in, direct, parts, root, end, state, due };
        income.check_sums()?;
        Ok(income)
    }

    /// The same income, paid by the chain to its owners directly.
    #[must_use]
    pub fn paid_directly(mut self) -> Self {
        self.direct = true;
        self
    }

    /// What each owner earned by it: what he was due, which is what he was paid unless a coinbase paid many.
    #[must_use]
    pub fn earned(&self) -> &Allocation {
        if self.due.shares().is_empty() { &self.parts } else { &self.due }
    }

    /// The same income, with what each owner was due of it.
    ///
    /// # Errors
    /// When that does not sum to the amount, or the chain did not pay the owners itself.
    pub fn with_dues(mut self, due: Allocation) -> Result<Self, LedgerError> {
        self.due = due;
        self.check()?;
        Ok(self)
    }

    /// The same income, its windows ending at this share.
    #[must_use]
    pub fn ending(mut self, end: ShareSeq) -> Self {
        self.end = end;
        self
    }

    /// What is divided.
    ///
    /// # Errors
    /// When it does not fit 64 bits.
    pub fn gross(&self) -> Result<Amount, LedgerError> {
        self.amount
            .checked_add(self.carry_in)
            .and_then(|sum| sum.checked_add(self.reserve_in))
            .ok_or(LedgerError::Overflow("an income with its carried-in units"))
    }

    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        self.check_sums()?;
        if proof::root(&self.key, &self.parts)? != self.root {
            return Err(LedgerError::Allocation("the Merkle-sum root is not that of the parts"));
        }
        Ok(())
    }

    fn check_sums(&self) -> Result<(), LedgerError> {
        let gross = self.gross()?;
        if self.parts.total() != gross {
            return Err(LedgerError::NotConserved {
                key: self.key.clone(),
                parts: self.parts.total().0,
                gross: gross.0,
            });
        }
        let pooled =
            self.parts.of(&Owner::Carry) > Amount::ZERO || self.parts.of(&Owner::Reserve) > Amount::ZERO;
        if self.direct && (pooled || self.carry_in > Amount::ZERO || self.reserve_in > Amount::ZERO) {
            return Err(LedgerError::Allocation("an income paid directly has no carry and no reserve"));
        }
        let due = self.due.shares();
        let paid = self.direct && self.due.total() == self.amount;
        if !due.is_empty() && !paid {
            return Err(LedgerError::Allocation("what is due sums to what the chain paid the owners itself"));
        }
        if due.iter().any(|share| matches!(share.0, Owner::Carry | Owner::Reserve)) {
            return Err(LedgerError::Allocation("what is due is due to miners and fee recipients"));
        }
        Ok(())
    }
}

/// One posting: a debit is positive, a credit negative; an entry's postings sum to zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The account.
    pub account: Account,
    /// Debit (positive) or credit (negative), in ledger units.
    pub amount: i128,
}

impl Posting {
    /// By how much the account's balance grows, on its natural side.
    pub(crate) fn natural(&self) -> Result<i128, LedgerError> {
        match self.account.class() {
            Class::Liability => self.amount.checked_neg().ok_or(LedgerError::Overflow("a posting")),
            Class::Asset | Class::Expense => Ok(self.amount),
        }
    }
}

/// Everything that may happen to money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// An income was seen and divided. Idempotent on its key.
    IncomeAllocated(IncomeAllocated),
    /// Our own wallet or node code saw the income at final depth: immature becomes payable.
    Matured {
        /// The income.
        key: IncomeKey,
    },
    /// The chain took the income back. After maturity always the operator's loss.
    Reversed {
        /// The income.
        key: IncomeKey,
        /// What becomes of its allocation.
        how: Reversal,
        /// The positive proof: which block stands in its place, with how many confirmations.
        proof: String,
    },
    /// An income that was reversed with `Keep` is on the chain after all: the operator's loss is undone.
    Reinstated {
        /// The income.
        key: IncomeKey,
    },
    /// Shares credited from the reserve (PPS), payable at once. Idempotent on the range of shares.
    Accrued {
        /// First share of the batch.
        first: ShareSeq,
        /// Last share of the batch.
        last: ShareSeq,
        /// Credits to miners and fee recipients.
        parts: Allocation,
        /// As in [`IncomeAllocated`].
        #[serde(with = "hex_bytes", default, skip_serializing_if = "Vec::is_empty")]
        state: Vec<u8>,
    },
    /// Shares that a scheme was given again after the loss of an income, up to one that it was given before: its state
    /// changes, and nobody is credited.
    Reaccrued {
        /// First share of the batch.
        first: ShareSeq,
        /// Last share of the batch.
        last: ShareSeq,
        /// As in [`IncomeAllocated`].
        #[serde(with = "hex_bytes", default, skip_serializing_if = "Vec::is_empty")]
        state: Vec<u8>,
    },
    /// A payment's intent: the rows are taken from their balances before any call to a wallet.
    PaymentReserved {
        /// Its number: the last one plus 1.
        payment: PaymentId,
        /// Its rows.
        rows: Vec<PaymentRow>,
    },
    /// A step of a payment; moves no money in the books.
    PaymentProgress {
        /// The payment.
        payment: PaymentId,
        /// The step.
        step: Progress,
    },
    /// The transaction is confirmed: the reserved money has left the wallet.
    PaymentSettled {
        /// The payment.
        payment: PaymentId,
        /// Its transaction.
        txid: TxId,
        /// Its network fee.
        fee: Amount,
        /// What became of each row, in the rows' order.
        rows: Vec<SettledRow>,
        /// What the transaction paid beyond its rows, by the operator's word: his loss. Zero, and not written, when it
        /// is what was asked for.
        #[serde(default, skip_serializing_if = "nothing")]
        lost: Amount,
    },
    /// Nothing was sent, and nothing can be any more: the rows return to their balances.
    PaymentReleased {
        /// The payment.
        payment: PaymentId,
        /// The positive reason.
        why: String,
    },
    /// A settled payment can never have happened: after a reorganisation another transaction that spends one of its coins
    /// is in the chain. What its settlement booked is booked back, and the rows return to their balances.
    PaymentUndone {
        /// The payment.
        payment: PaymentId,
        /// Its transaction.
        txid: TxId,
        /// Its network fee, as it was settled.
        fee: Amount,
        /// What became of each row, as it was settled.
        rows: Vec<SettledRow>,
        /// What the transaction paid beyond its rows, as it was settled.
        #[serde(default, skip_serializing_if = "nothing")]
        lost: Amount,
        /// Who ordered it, and the positive reason.
        why: String,
    },
    /// A network fee outside a payment (consolidation, a replaced transaction of the operator).
    NetworkFee {
        /// The transaction.
        txid: TxId,
        /// The fee; borne by the pool.
        amount: Amount,
    },
    /// A correction or a deposit by the operator.
    Adjustment {
        /// Its postings; they sum to zero.
        postings: Vec<Posting>,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// An action of the operator that moves no money (swap of a scheme, a changed minimum), kept in the chain.
    Noted {
        /// Who.
        by: String,
        /// What, in one word or two.
        action: String,
        /// The details.
        detail: String,
    },
    /// The book as it stood before this record, by digest: moves no money. A ledger that opens with the bytes of this
    /// digest at hand reads what came since, and nothing before.
    Checkpoint {
        /// BLAKE3 of the book's bytes.
        book: Digest,
    },
}

impl Entry {
    /// The kind's name, as in exports.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::IncomeAllocated(_) => "income-allocated",
            Self::Matured { .. } => "matured",
            Self::Reversed { .. } => "reversed",
            Self::Reinstated { .. } => "reinstated",
            Self::Accrued { .. } => "accrued",
            Self::Reaccrued { .. } => "reaccrued",
            Self::PaymentReserved { .. } => "payment-reserved",
            Self::PaymentProgress { .. } => "payment-progress",
            Self::PaymentSettled { .. } => "payment-settled",
            Self::PaymentReleased { .. } => "payment-released",
            Self::PaymentUndone { .. } => "payment-undone",
            Self::NetworkFee { .. } => "network-fee",
            Self::Adjustment { .. } => "adjustment",
            Self::Noted { .. } => "noted",
            Self::Checkpoint { .. } => "checkpoint",
        }
    }
}

/// Bytes that a record takes beside its entry, with room to spare.
const BESIDE: usize = 1024;
/// Most bytes of a miner's part of an allocation, with what stands around number and amount; and of another owner's.
const PART: [usize; 2] = [48, 80];

impl Entry {
    /// Whether a record holds it. Asked before anything is written that belongs to it, since what is refused is tried again.
    ///
    /// # Errors
    /// When it takes more bytes than a record may.
    pub fn fits(&self) -> Result<(), LedgerError> {
        let limit = MAX_PAYLOAD.saturating_sub(BESIDE);
        if self.at_most().is_some_and(|bytes| bytes <= limit) {
            return Ok(());
        }
        let mut counted = Counted(0);
        serde_json::to_writer(&mut counted, self).map_err(|_| LedgerError::Overflow("an entry"))?;
        let Counted(bytes) = counted;
        if bytes <= limit { Ok(()) } else { Err(LedgerError::TooLarge { kind: self.kind(), bytes, limit }) }
    }

    /// No entry of the kinds that grow with the miners takes more bytes than this; `None` for other kinds.
    fn at_most(&self) -> Option<usize> {
        let (parts, state, beside) = match self {
            Self::IncomeAllocated(income) => {
                let parts = parts_at_most(&income.parts)?.checked_add(parts_at_most(&income.due)?)?;
                (parts, income.state.len(), income.key.as_bytes().len())
            }
            Self::Accrued { parts, state, .. } => (parts_at_most(parts)?, state.len(), 0),
            Self::Reaccrued { state, .. } => (0, state.len(), 0),
            _ => return None,
        };
        let hex = state.checked_add(beside)?.checked_mul(2)?;
        parts.checked_add(hex)?.checked_add(BESIDE)
    }
}

fn parts_at_most(parts: &Allocation) -> Option<usize> {
    let miners = parts.miners().count();
    let others = parts.shares().len().checked_sub(miners)?;
    miners.checked_mul(PART[0])?.checked_add(others.checked_mul(PART[1])?)
}

/// Counts what is written to it.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One line of the ledger: an entry with its number, time and the digest of the line before it. Stored as JSON, whose
/// bytes are what the next record's `prev` is the BLAKE3 of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Form of the record: 1.
    pub v: u8,
    /// Its number, from 1 without gaps.
    pub seq: u64,
    /// When, as the caller says.
    pub at: UnixMillis,
    /// BLAKE3 of the bytes of the record before; zeros for the first.
    pub prev: Digest,
    /// What happened.
    pub entry: Entry,
}

pub(crate) fn nothing(amount: &Amount) -> bool {
    *amount == Amount::ZERO
}

fn is_empty(allocation: &Allocation) -> bool {
    allocation.shares().is_empty()
}

/// Bytes as a hex string in JSON.
pub(crate) mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FeeName, Share};
    use millpond_types::MinerId;

    #[test]
    fn what_an_entry_takes_at_most_is_never_less_than_what_it_takes() {
        let widest = Amount(u64::MAX / 4);
        let fee = |name: u8| Owner::Fee(FeeName::try_from(char::from(name).to_string().repeat(32)).unwrap());
        let parts = Allocation::new(vec![
            Share(Owner::Miner(MinerId(u64::MAX)), widest),
            Share(fee(b'a'), widest),
            Share(fee(b'b'), widest),
        ])
        .unwrap();
        let key = IncomeKey::new(vec![0xff; 256]).unwrap();
        let (amount, state) = (parts.total(), vec![0xff; 4_000]);
        let income = IncomeAllocated::new(key, amount, Amount::ZERO, parts.clone(), state.clone()).unwrap();
        let income = income.paid_directly().with_dues(parts.clone()).unwrap().ending(ShareSeq(u64::MAX));
        let (first, last) = (ShareSeq(u64::MAX), ShareSeq(u64::MAX));
        for entry in [
            Entry::IncomeAllocated(income),
            Entry::Accrued { first, last, parts, state: state.clone() },
            Entry::Reaccrued { first, last, state },
        ] {
            let bytes = serde_json::to_vec(&entry).unwrap().len();
            assert!(entry.at_most().unwrap() >= bytes, "{} takes {bytes}", entry.kind());
        }
        for owner in [Owner::Miner(MinerId(u64::MAX)), fee(b'a')] {
            let parts = Allocation::new(vec![Share(owner, Amount(u64::MAX))]).unwrap();
            let bytes = serde_json::to_vec(&parts).unwrap().len();
            assert!(parts_at_most(&parts).unwrap() >= bytes, "{parts:?} takes {bytes}");
        }
    }
}
