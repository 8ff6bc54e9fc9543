//! The book: balances, incomes and payments as they stand after the entries so far. Pure: no log, no clock.

use crate::balances::Balances;
use crate::paid::Paid;
use crate::sums::{Sums, Walked};
use crate::totals::Counters;
use crate::{
    Account, Allocation, Entry, IncomeKey, LedgerError, Owner, PaymentId, PaymentRow, Posting, Record,
    Reversal, Totals, TxId, income, payment::Built,
};
use millpond_types::{Amount, Digest, ShareSeq, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where an income stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncomeStatus {
    /// Seen and divided; the chain may take it back.
    Immature,
    /// Final: its parts are payable (or paid by the chain directly).
    Matured,
    /// Taken back by the chain before maturity.
    Reversed(Reversal),
    /// Taken back after maturity: the operator's loss.
    LostAfterMaturity,
}

impl IncomeStatus {
    /// The state's name, as in listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Immature => "immature",
            Self::Matured => "matured",
            Self::Reversed(_) => "reversed",
            Self::LostAfterMaturity => "lost after maturity",
        }
    }
}

/// What the book knows of an income.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncomeState {
    /// What the chain paid.
    pub amount: Amount,
    /// Units of the carry account divided with it.
    pub carry_in: Amount,
    /// Units of the reserve divided with it.
    #[serde(default, skip_serializing_if = "crate::entry::nothing")]
    pub reserve_in: Amount,
    /// Paid by the chain to its owners.
    pub direct: bool,
    /// Where it stands.
    pub status: IncomeStatus,
    /// Digest of the Merkle-sum root's node.
    pub root: Digest,
    /// The record that divided it.
    pub seq: u64,
    /// Its ascending number among the pool's incomes, from 1; the same when it is divided again.
    pub number: u64,
    /// The share that ends its windows.
    pub end: ShareSeq,
    /// Its parts were made payable before it matured (reversed with `Keep`, then reinstated).
    pub credited_early: bool,
    /// Its parts; kept until it is final.
    pub parts: Option<Allocation>,
}

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentStatus {
    /// The rows are reserved; no call was made.
    Reserved,
    /// The signed bytes are stored; they never went out.
    Built,
    /// A call that sends was announced; it may or may not have happened.
    Submitting,
    /// The node or wallet has the transaction.
    Sent,
    /// The call's outcome is not known.
    Unknown(String),
    /// Confirmed and booked.
    Settled,
    /// Nothing was sent; the rows are back in their balances.
    Released(String),
    /// It was settled, and cannot have happened; the rows are back in their balances.
    Undone(String),
}

impl PaymentStatus {
    /// The state's name, as in listings.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Built => "built",
            Self::Submitting => "submitting",
            Self::Sent => "sent",
            Self::Unknown(_) => "unknown",
            Self::Settled => "settled",
            Self::Released(_) => "released",
            Self::Undone(_) => "undone",
        }
    }

    /// Whether money is still reserved for it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Settled | Self::Released(_) | Self::Undone(_))
    }

    /// Whether it paid nobody: its rows are back in their balances.
    #[must_use]
    pub fn is_void(&self) -> bool {
        matches!(self, Self::Released(_) | Self::Undone(_))
    }
}

/// What the book knows of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentState {
    /// Its number.
    pub id: PaymentId,
    /// Its rows.
    pub rows: Vec<PaymentRow>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// When it was reserved.
    pub reserved_at: UnixMillis,
    /// When its state changed last.
    pub changed_at: UnixMillis,
    /// The stored transaction, from `Built` until it is settled or released.
    pub built: Option<Built>,
    /// When a call that sends was first announced.
    pub submitted_at: Option<UnixMillis>,
    /// How often a call that sends was announced.
    pub attempts: u32,
    /// The marker of a wallet that can only send.
    pub marker: Option<String>,
    /// The transaction's name, as soon as it is known.
    pub txid: Option<TxId>,
    /// The network fee, when settled.
    pub fee: Amount,
    /// What was sent, when settled.
    pub sent: Amount,
}

impl PaymentState {
    /// The sum of its rows.
    #[must_use]
    pub fn reserved(&self) -> Amount {
        Amount::sum(self.rows.iter().map(|row| row.amount)).unwrap_or(Amount(u64::MAX))
    }
}

/// Balances, incomes and payments after a number of records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    pub(crate) balances: Balances,
    pub(crate) incomes: BTreeMap<IncomeKey, IncomeState>,
    pub(crate) payments: BTreeMap<PaymentId, PaymentState>,
    pub(crate) accrued_to: u64,
    pub(crate) counters: Counters,
    /// Sent to each owner so far.
    pub(crate) paid: Paid,
    #[serde(skip)]
    pub(crate) sums: Sums,
    #[serde(skip)]
    pub(crate) walked: Walked,
}

/// What an entry does to a book, by the rules of its kind.
pub(crate) struct Change {
    pub(crate) postings: Vec<Posting>,
    pub(crate) counters: Counters,
    pub(crate) what: What,
}

/// The part of a change that is not balances.
pub(crate) enum What {
    Nothing,
    Income(IncomeKey, IncomeState),
    AccruedTo(u64),
    Payment(Box<PaymentState>),
}

/// An entry that was checked, and what the book holds after it. It was made beside the book, whose readers went on
/// meanwhile; to put it in its place takes the same time for a million rows as for one.
pub(crate) struct Fitting {
    pub(crate) postings: Vec<Posting>,
    balances: Balances,
    sums: Sums,
    counters: Counters,
    paid: Option<Paid>,
    what: What,
}

/// What an entry replaced, to be let go when no reader waits.
pub(crate) struct Replaced {
    _postings: Vec<Posting>,
    _balances: Balances,
    _paid: Option<Paid>,
    _what: What,
}

/// What a book says to an entry.
#[allow(clippy::large_enum_variant, reason = "one at a time, and short-lived")]
pub(crate) enum Judgement<F = Change> {
    /// It is in the book already, with the same meaning.
    Already,
    /// It may be written, and does this.
    Fits(F),
}

impl Book {
    /// An account's balance on its natural side: what the pool has, spent or owes.
    #[must_use]
    pub fn balance(&self, account: &Account) -> i128 {
        self.balances.get(account)
    }

    /// What may be paid to an owner.
    #[must_use]
    pub fn payable(&self, owner: &Owner) -> Amount {
        amount_of(self.balance(&Account::Payable(owner.clone())))
    }

    /// What an owner was credited of incomes that are not final.
    #[must_use]
    pub fn immature(&self, owner: &Owner) -> Amount {
        amount_of(self.balance(&Account::Immature(owner.clone())))
    }

    /// All accounts that are not zero, in order.
    pub fn balances(&self) -> impl Iterator<Item = (Account, i128)> + '_ {
        self.balances.iter()
    }

    /// All owners with something payable.
    pub fn payables(&self) -> impl Iterator<Item = (Owner, Amount)> + '_ {
        self.balances.payables().map(|(owner, balance)| (owner, amount_of(balance)))
    }

    /// One income.
    #[must_use]
    pub fn income(&self, key: &IncomeKey) -> Option<&IncomeState> {
        self.incomes.get(key)
    }

    /// All incomes.
    pub fn incomes(&self) -> impl Iterator<Item = (&IncomeKey, &IncomeState)> {
        self.incomes.iter().inspect(|_| self.walked.one())
    }

    /// How many incomes there were.
    #[must_use]
    pub fn income_count(&self) -> u64 {
        u64::try_from(self.incomes.len()).unwrap_or(u64::MAX)
    }

    /// One payment.
    #[must_use]
    pub fn payment(&self, id: PaymentId) -> Option<&PaymentState> {
        self.payments.get(&id)
    }

    /// All payments, oldest first.
    pub fn payments(&self) -> impl DoubleEndedIterator<Item = &PaymentState> {
        self.payments.values().inspect(|_| self.walked.one())
    }

    /// The payments before one, or all, newest first.
    pub fn payments_before(&self, before: Option<PaymentId>) -> impl Iterator<Item = &PaymentState> {
        let before = before.unwrap_or(PaymentId(u64::MAX));
        self.payments.range(..before).rev().map(|(_, payment)| payment).inspect(|_| self.walked.one())
    }

    /// The number that the next payment has.
    #[must_use]
    pub fn next_payment(&self) -> PaymentId {
        PaymentId(self.payments.last_key_value().map_or(0, |(id, _)| id.0).saturating_add(1))
    }

    /// The number that an income has, or gets when it is divided: ascending from 1.
    #[must_use]
    pub fn number_of(&self, key: &IncomeKey) -> u64 {
        let next = || u64::try_from(self.incomes.len()).unwrap_or(u64::MAX).saturating_add(1);
        self.incomes.get(key).map_or_else(next, |income| income.number)
    }

    /// The last share that was credited from the reserve.
    #[must_use]
    pub fn accrued_to(&self) -> u64 {
        self.accrued_to
    }

    /// The pool's figures.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of(self, &self.sums)
    }

    /// What an entry would lead to.
    pub(crate) fn judge(&self, entry: &Entry, at: UnixMillis) -> Result<Judgement<Fitting>, LedgerError> {
        match self.change(entry, at)? {
            Judgement::Already => Ok(Judgement::Already),
            Judgement::Fits(change) => self.fitting(change, entry).map(Judgement::Fits),
        }
    }

    /// What an entry would do, by the rules of its kind.
    fn change(&self, entry: &Entry, at: UnixMillis) -> Result<Judgement, LedgerError> {
        Ok(match entry {
            Entry::IncomeAllocated(_)
            | Entry::Matured { .. }
            | Entry::Reversed { .. }
            | Entry::Reinstated { .. }
            | Entry::Accrued { .. } => income::judge(self, entry)?,
            Entry::PaymentReserved { .. }
            | Entry::PaymentProgress { .. }
            | Entry::PaymentSettled { .. }
            | Entry::PaymentReleased { .. }
            | Entry::PaymentUndone { .. } => crate::payment::judge(self, entry, at)?,
            Entry::NetworkFee { amount, .. } => {
                let mut counters = self.counters.clone();
                counters.network_fees = add(counters.network_fees, amount.0)?;
                let postings = vec![debit(Account::NetworkFees, amount.0), credit(Account::Wallet, amount.0)];
                Judgement::Fits(Change { postings, counters, what: What::Nothing })
            }
            Entry::Adjustment { postings, by, reason } => self.adjust(postings, by, reason)?,
            Entry::Noted { by, action, detail } => {
                said("noted", &[by, action, detail])?;
                let counters = self.counters.clone();
                Judgement::Fits(Change { postings: Vec::new(), counters, what: What::Nothing })
            }
            Entry::Reaccrued { first, last, .. } => {
                if first > last || last.0 > self.accrued_to {
                    return Err(LedgerError::Allocation("shares are given again that were not given before"));
                }
                let counters = self.counters.clone();
                Judgement::Fits(Change { postings: Vec::new(), counters, what: What::Nothing })
            }
            Entry::Checkpoint { book } => {
                if !self.is_vouched_by(book)? {
                    return Err(LedgerError::Checkpoint);
                }
                let counters = self.counters.clone();
                Judgement::Fits(Change { postings: Vec::new(), counters, what: What::Nothing })
            }
        })
    }

    /// The rules of all entries: the postings sum to zero, and no bounded account falls below zero.
    pub(crate) fn fitting(&self, change: Change, entry: &Entry) -> Result<Fitting, LedgerError> {
        let Change { mut postings, counters, what } = change;
        postings.retain(|posting| posting.amount != 0);
        let mut sums = self.sums.clone();
        let balances = self.balances.after(&postings, |account, grows| sums.balance(account, grows))?;
        match &what {
            What::Income(key, state) => {
                sums.income(state, 1);
                self.incomes.get(key).into_iter().for_each(|before| sums.income(before, -1));
            }
            What::Payment(state) => {
                sums.payment(state, 1);
                self.payments.get(&state.id).into_iter().for_each(|before| sums.payment(before, -1));
            }
            What::Nothing | What::AccruedTo(_) => {}
        }
        let paid = self.paid_after(entry);
        Ok(Fitting { postings, balances, sums, counters, paid, what })
    }

    fn adjust(&self, postings: &[Posting], by: &str, reason: &str) -> Result<Judgement, LedgerError> {
        said("adjustment", &[by, reason])?;
        let mut counters = self.counters.clone();
        for posting in postings {
            let sum = match &posting.account {
                Account::Payable(Owner::Miner(_)) => &mut counters.adjusted_miners,
                Account::Payable(Owner::Fee(_)) => &mut counters.adjusted_fees,
                Account::Payable(Owner::Carry | Owner::Reserve) => &mut counters.adjusted_carried,
                Account::Wallet | Account::NetworkFees | Account::OperatorLoss => continue,
                // These follow incomes and payments; an adjustment would tear them apart.
                Account::ImmatureIncome | Account::InFlight | Account::Immature(_) => {
                    return Err(LedgerError::Allocation(
                        "an adjustment may post to wallet, network-fees, operator-loss and payable accounts only",
                    ));
                }
            };
            *sum = sum.checked_sub(posting.amount).ok_or(LedgerError::Overflow("adjustments"))?;
        }
        Ok(Judgement::Fits(Change { postings: postings.to_vec(), counters, what: What::Nothing }))
    }

    /// Counts what a record that is durable leads to. Nothing may have been counted since it was judged.
    pub(crate) fn put(&mut self, fitting: Fitting, record: &Record) -> Replaced {
        let Fitting { postings, balances, sums, counters, paid, mut what } = fitting;
        if let What::Income(_, state) = &mut what
            && matches!(record.entry, Entry::IncomeAllocated(_))
        {
            state.seq = record.seq;
        }
        (self.sums, self.counters) = (sums, counters);
        let what = match what {
            What::Income(key, state) => match self.incomes.insert(key.clone(), state) {
                Some(before) => What::Income(key, before),
                None => What::Nothing,
            },
            What::Payment(state) => match self.payments.insert(state.id, *state) {
                Some(before) => What::Payment(Box::new(before)),
                None => What::Nothing,
            },
            What::AccruedTo(last) => {
                self.accrued_to = last;
                What::Nothing
            }
            What::Nothing => What::Nothing,
        };
        Replaced {
            _postings: postings,
            _balances: std::mem::replace(&mut self.balances, balances),
            _paid: paid.map(|paid| std::mem::replace(&mut self.paid, paid)),
            _what: what,
        }
    }

    /// Takes in one record of the log, in order, and gives its postings. For readers that rebuild a book of their own.
    ///
    /// # Errors
    /// When the record breaks a rule of the book it meets.
    pub fn replay(&mut self, record: &Record) -> Result<Vec<Posting>, LedgerError> {
        match self.judge(&record.entry, record.at)? {
            Judgement::Already => {
                Err(LedgerError::Broken { seq: record.seq, why: "it repeats an earlier record".to_owned() })
            }
            Judgement::Fits(mut fitting) => {
                let postings = std::mem::take(&mut fitting.postings);
                drop(self.put(fitting, record));
                Ok(postings)
            }
        }
    }
}

pub(crate) fn amount_of(balance: i128) -> Amount {
    Amount(u64::try_from(balance.max(0)).unwrap_or(u64::MAX))
}

pub(crate) fn debit(account: Account, amount: u64) -> Posting {
    Posting { account, amount: i128::from(amount) }
}

pub(crate) fn credit(account: Account, amount: u64) -> Posting {
    Posting { account, amount: -i128::from(amount) }
}

pub(crate) fn add(sum: i128, amount: u64) -> Result<i128, LedgerError> {
    sum.checked_add(i128::from(amount)).ok_or(LedgerError::Overflow("a total"))
}

pub(crate) fn subtract(sum: i128, amount: u64) -> Result<i128, LedgerError> {
    sum.checked_sub(i128::from(amount)).ok_or(LedgerError::Overflow("a total"))
}

pub(crate) fn said(kind: &'static str, texts: &[&str]) -> Result<(), LedgerError> {
    let fits = texts.iter().all(|text| (1..=1000).contains(&text.trim().len()) && text.len() <= 1000);
    if fits { Ok(()) } else { Err(LedgerError::Reason(kind)) }
}
