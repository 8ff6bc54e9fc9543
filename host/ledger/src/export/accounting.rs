//! What programs for book-keeping have in common: names of accounts, decimals, days, and one transaction an entry.
//!
//! Signs are the books' own (a debit is positive), as both programs have them. Amounts are written digit by digit, never by
//! floating point. An entry that moves no money is no transaction.

use crate::reader::broken;
use crate::{Account, Book, Class, Entry, LedgerError, Owner, PaymentId, Posting, Reader, Record};
use millpond_types::{Digest, UnixMillis};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

/// The last day that both programs can write, 9999-12-31, as days since 1970.
const LAST_DAY: u64 = 2_932_896;
const DAY_MS: u64 = 86_400_000;

/// How the books are shown to a program for book-keeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounting {
    /// What amounts are of.
    pub commodity: Commodity,
    /// Whether each miner has an account.
    pub miners: Miners,
    /// The first record that is shown; what was before is one transaction. 0 and 1 show everything.
    pub from: u64,
}

/// Whether each miner has an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miners {
    /// All have one together, so that an income is a few lines however many there are.
    Together,
    /// Each has his own.
    Each,
}

/// A currency's name and how many decimals its smallest unit has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commodity {
    symbol: String,
    decimals: u8,
}

/// A name that the programs do not take, or too many decimals.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a commodity is 2 to 24 of A-Z and 0-9, a letter first, with at most 18 decimals, not {symbol:?} with {decimals}"
)]
pub struct CommodityError {
    /// The name.
    pub symbol: String,
    /// The decimals.
    pub decimals: u8,
}

impl Commodity {
    /// Checks both.
    ///
    /// # Errors
    /// When a program would read something else.
    pub fn new(symbol: &str, decimals: u8) -> Result<Self, CommodityError> {
        let letters = symbol.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        let begins = symbol.bytes().next().is_some_and(|c| c.is_ascii_uppercase());
        let symbol = symbol.to_owned();
        if letters && begins && (2..=24).contains(&symbol.len()) && decimals <= 18 {
            Ok(Self { symbol, decimals })
        } else {
            Err(CommodityError { symbol, decimals })
        }
    }

    /// Its name.
    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Ledger units as a decimal.
    #[must_use]
    pub fn decimal(&self, units: i128) -> String {
        let decimals = usize::from(self.decimals);
        let sign = if units < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", units.unsigned_abs(), width = decimals.saturating_add(1));
        match digits.split_at_checked(digits.len().saturating_sub(decimals)) {
            Some((whole, part)) if !part.is_empty() => format!("{sign}{whole}.{part}"),
            _ => format!("{sign}{digits}"),
        }
    }
}

/// A day, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(u64);

impl Day {
    pub(super) fn of(at: UnixMillis) -> Self {
        Self((at.0 / DAY_MS).min(LAST_DAY))
    }

    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1).min(LAST_DAY))
    }

    /// With this between year, month and day. After Howard Hinnant's `civil_from_days`.
    pub(super) fn written(self, between: char) -> String {
        let shifted = self.0 + 719_468;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = shifted / 146_097 * 400 + year_of_era + u64::from(month <= 2);
        format!("{year:04}{between}{month:02}{between}{day:02}")
    }
}

/// An entry that moves money, or all that was before the first one that is shown.
pub(super) struct Transaction {
    pub(super) day: Day,
    pub(super) kind: &'static str,
    /// What it is about, in letters, digits and colons.
    pub(super) about: String,
    /// In the words of whoever said so: any.
    pub(super) why: Option<String>,
    pub(super) payment: Option<PaymentId>,
    pub(super) txid: Option<String>,
    /// The record's number, time and digest; none for what was before.
    pub(super) record: Option<(u64, UnixMillis, Digest)>,
    /// By the account's name.
    pub(super) postings: BTreeMap<String, i128>,
}

/// What was walked over.
pub(super) struct Walked {
    pub(super) records: u64,
    /// The newest day of all that was shown.
    pub(super) newest: Day,
    /// The book's balances by the account's name, a debit positive.
    pub(super) balances: BTreeMap<String, i128>,
}

impl Accounting {
    /// Gives all transactions, in the order of the ledger, whose days may go back now and then.
    pub(super) fn walk(
        &self,
        reader: &Reader,
        visit: &mut dyn FnMut(Transaction) -> Result<(), LedgerError>,
    ) -> Result<Walked, LedgerError> {
        let mut book = Book::default();
        let (mut newest, mut last, mut begun) = (Day::default(), Day::default(), self.from <= 1);
        let mut show = |transaction: Transaction| {
            if transaction.postings.is_empty() {
                return Ok(());
            }
            newest = newest.max(transaction.day);
            visit(transaction)
        };
        let head = reader.for_each_record(&mut |record, bytes| {
            if record.seq >= self.from && !begun {
                begun = true;
                show(self.opening(&book, Day::of(record.at)))?;
            }
            let postings = book.replay(record).map_err(|error| broken(record.seq, error))?;
            last = Day::of(record.at);
            if begun { show(self.transaction(record, bytes, &postings)) } else { Ok(()) }
        })?;
        if !begun {
            show(self.opening(&book, last))?;
        }
        Ok(Walked { records: head.seq, newest, balances: self.balances(&book) })
    }

    fn opening(&self, book: &Book, day: Day) -> Transaction {
        let about = format!("what was before record {}", self.from);
        let postings = self.balances(book);
        Transaction {
            day,
            kind: "opening",
            about,
            why: None,
            payment: None,
            txid: None,
            record: None,
            postings,
        }
    }

    fn transaction(&self, record: &Record, bytes: &[u8], postings: &[Posting]) -> Transaction {
        let (about, why) = about(&record.entry);
        let (payment, txid) = match &record.entry {
            Entry::PaymentSettled { payment, txid, .. } | Entry::PaymentUndone { payment, txid, .. } => {
                (Some(*payment), Some(txid.0.clone()))
            }
            Entry::PaymentReserved { payment, .. } | Entry::PaymentReleased { payment, .. } => {
                (Some(*payment), None)
            }
            Entry::NetworkFee { txid, .. } => (None, Some(txid.0.clone())),
            _ => (None, None),
        };
        Transaction {
            day: Day::of(record.at),
            kind: record.entry.kind(),
            about,
            why,
            payment,
            txid,
            record: Some((record.seq, record.at, Digest::of(bytes))),
            postings: self.by_name(postings.iter().map(|posting| (&posting.account, posting.amount))),
        }
    }

    fn balances(&self, book: &Book) -> BTreeMap<String, i128> {
        self.by_name(book.balances().map(|(account, balance)| {
            let liability = account.class() == Class::Liability;
            (account, if liability { balance.saturating_neg() } else { balance })
        }))
    }

    /// Amounts of accounts that have the same name here are one.
    fn by_name(&self, amounts: impl Iterator<Item = (impl Borrow<Account>, i128)>) -> BTreeMap<String, i128> {
        let mut sums = BTreeMap::<String, i128>::new();
        for (account, amount) in amounts {
            let sum = sums.entry(self.name(account.borrow())).or_default();
            *sum = sum.saturating_add(amount);
        }
        sums.retain(|_, sum| *sum != 0);
        sums
    }

    fn name(&self, account: &Account) -> String {
        match account {
            Account::ImmatureIncome => "Assets:Immature-Income".to_owned(),
            Account::Wallet => "Assets:Wallet".to_owned(),
            Account::NetworkFees => "Expenses:Network-Fees".to_owned(),
            Account::OperatorLoss => "Expenses:Operator-Loss".to_owned(),
            Account::InFlight => "Liabilities:In-Flight".to_owned(),
            Account::Immature(owner) => format!("Liabilities:Immature:{}", self.owner(owner)),
            Account::Payable(owner) => format!("Liabilities:Payable:{}", self.owner(owner)),
        }
    }

    fn owner(&self, owner: &Owner) -> String {
        match owner {
            Owner::Miner(_) if self.miners == Miners::Together => "Miners".to_owned(),
            Owner::Miner(id) => format!("M{id}"),
            Owner::Fee(name) => format!("Fee:{}", component(name.as_str())),
            Owner::Carry => "Carry".to_owned(),
            Owner::Reserve => "Reserve".to_owned(),
        }
    }
}

/// A fee recipient's name as a part of an account's: Beancount begins it with a capital or a digit, and knows no `_`. Names
/// have small letters only, so that what stands for another character is like no name.
fn component(name: &str) -> String {
    let mut written = String::new();
    for (at, c) in name.chars().enumerate() {
        match c {
            '_' => written.push_str("X5F"),
            '-' if at == 0 => written.push_str("X2D"),
            _ if at == 0 => written.push(c.to_ascii_uppercase()),
            _ => written.push(c),
        }
    }
    written
}

/// What an entry is about, and why it is there as somebody said.
fn about(entry: &Entry) -> (String, Option<String>) {
    let income = |key: &dyn fmt::Display| format!("income {key}");
    let payment = |id: &PaymentId| format!("payment {id}");
    match entry {
        Entry::IncomeAllocated(known) => (income(&known.key), None),
        Entry::Matured { key } | Entry::Reinstated { key } => (income(key), None),
        Entry::Reversed { key, how, proof } => (format!("income {key} {}", how.name()), Some(proof.clone())),
        Entry::Accrued { first, last, .. } => (format!("shares {} to {}", first.0, last.0), None),
        Entry::Reaccrued { first, last, .. } => (format!("shares {} to {} again", first.0, last.0), None),
        Entry::PaymentReserved { payment: id, .. }
        | Entry::PaymentProgress { payment: id, .. }
        | Entry::PaymentSettled { payment: id, .. } => (payment(id), None),
        Entry::PaymentReleased { payment: id, why } | Entry::PaymentUndone { payment: id, why, .. } => {
            (payment(id), Some(why.clone()))
        }
        Entry::NetworkFee { .. } => ("network fee".to_owned(), None),
        Entry::Adjustment { by, reason, .. } => {
            ("by the operator".to_owned(), Some(format!("{by}: {reason}")))
        }
        Entry::Noted { action, .. } => ("note".to_owned(), Some(action.clone())),
        Entry::Checkpoint { .. } => ("checkpoint".to_owned(), None),
    }
}

/// A text on one line, with nothing that a program would take for more than text.
pub(super) fn plain(text: &str, replace: &dyn Fn(char) -> Option<&'static str>) -> String {
    let mut written = String::new();
    for c in text.chars() {
        match replace(c) {
            Some(other) => written.push_str(other),
            None if c.is_control() => written.push(' '),
            None => written.push(c),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_decimals_to_the_unit() {
        let coin = |decimals| Commodity::new("BTC", decimals).unwrap();
        for (units, decimals, written) in [
            (312_500_000, 8, "3.12500000"),
            (-1, 8, "-0.00000001"),
            (0, 8, "0.00000000"),
            (-12, 0, "-12"),
            (100, 2, "1.00"),
            (i128::from(u64::MAX), 18, "18.446744073709551615"),
        ] {
            assert_eq!(coin(decimals).decimal(units), written);
        }
        for (symbol, decimals) in [("B", 8), ("btc", 8), ("2BTC", 8), ("B TC", 8), ("", 8), ("BTC", 19)] {
            assert!(Commodity::new(symbol, decimals).is_err(), "{symbol:?} with {decimals}");
        }
    }

    /// Days recomputed with `date -u`.
    #[test]
    fn days_are_of_the_calendar() {
        for (seconds, written) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_795_168_800, "2026-11-20"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
            (u64::MAX / 1_000, "9999-12-31"),
        ] {
            assert_eq!(Day::of(UnixMillis(seconds * 1_000)).written('-'), written);
        }
    }

    proptest! {
        #[test]
        fn two_fee_recipients_have_two_names(one in "[a-z0-9_-]{1,6}", other in "[a-z0-9_-]{1,6}") {
            prop_assert_eq!(component(&one) == component(&other), one == other);
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
            prop_assert!(component(&one).chars().all(fits));
            prop_assert!(component(&one).starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit()));
        }
    }
}
