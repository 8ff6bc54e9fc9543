//! Ledger, wallet and chain held against each other: what the wallet holds, what the ledger says that it holds, and what
//! explains the difference, transaction by transaction. Reads only.
//!
//! Each transaction of the wallet belongs to one thing in the ledger, and each thing in the ledger that moved the wallet has
//! its transaction. What is left over has a name ([`Code`]) and an amount: by how much more the wallet holds for it than the
//! ledger says. The wallet's own balance has to be the ledger's and all these amounts together; what is missing then is the
//! residual, which nothing explains.

use crate::extra::booked_as_extra;
use crate::{Move, Settlement, SettlementError, Stands, WalletBook};
use millpond_ledger::{
    Account, Book, Entry, IncomeKey, IncomeState, IncomeStatus, PaymentId, PaymentState, PaymentStatus,
    Record, TxId,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// An income that is not mature: the wallet has it, the ledger does not count it as the wallet's yet.
    IncomeImmature,
    /// The ledger has an income that the wallet does not know.
    IncomeUnseen,
    /// A coinbase to the wallet that the ledger does not know.
    IncomeUnbooked,
    /// An income of another amount.
    IncomeDiffers,
    /// Taken back by the ledger, and in the wallet.
    ReversedButThere,
    /// A payment went out and is not settled.
    InFlight,
    /// A row to an address of the wallet's own, which is sent without leaving it.
    OwnRow,
    /// A transaction that took another amount out than the ledger says.
    PaidOtherwise,
    /// A transaction of a payment that has another, or none.
    PaidTwice,
    /// In the ledger it went out, and the wallet does not know it.
    PaymentLost,
    /// In the ledger it went out, and it can never confirm.
    PaymentConflicted,
    /// Came in or went out without the ledger knowing of what.
    Foreign,
    /// Corrections of the ledger by the operator, a declared reserve among them: the other side of what is foreign.
    Adjusted,
}

impl Code {
    /// Its name, as in listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IncomeImmature => "income-immature",
            Self::IncomeUnseen => "income-unseen",
            Self::IncomeUnbooked => "income-unbooked",
            Self::IncomeDiffers => "income-differs",
            Self::ReversedButThere => "reversed-but-there",
            Self::InFlight => "in-flight",
            Self::OwnRow => "own-row",
            Self::PaidOtherwise => "paid-otherwise",
            Self::PaidTwice => "paid-twice",
            Self::PaymentLost => "payment-lost",
            Self::PaymentConflicted => "payment-conflicted",
            Self::Foreign => "foreign",
            Self::Adjusted => "adjusted",
        }
    }

    /// Whether it is as it should be, whatever else is so. What is foreign and what was adjusted is only together.
    fn is_ordinary(self) -> bool {
        matches!(self, Self::IncomeImmature | Self::InFlight | Self::OwnRow | Self::Foreign | Self::Adjusted)
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub code: Code,
    /// By how much more the wallet holds for it than the ledger says.
    pub amount: i128,
    /// Income, payment, transaction.
    pub about: String,
    /// Whether somebody has to look into it.
    pub wrong: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// What the ledger says that the wallet holds.
    pub ledger: i128,
    /// What it holds.
    pub wallet: i128,
    /// What explains the difference, in the order of the ledger.
    pub differences: Vec<Difference>,
    /// What nothing explains.
    pub residual: i128,
}

impl Reconciled {
    /// Whether everything is explained, and nothing is wrong.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.residual == 0 && self.differences.iter().all(|difference| !difference.wrong)
    }
}

/// What the log has that balances do not keep.
#[derive(Debug, Default)]
struct Logged {
    /// What settled transactions paid beyond their rows.
    lost: BTreeMap<PaymentId, i128>,
    /// Transactions that a payment should not have, which were booked, and network fees: what they took out.
    booked: BTreeMap<TxId, i128>,
    /// By how much all other adjustments changed the wallet.
    adjusted: i128,
}

impl Logged {
    fn take(&mut self, record: &Record) {
        match &record.entry {
            Entry::PaymentSettled { payment, lost, .. } => {
                self.lost.insert(*payment, i128::from(lost.0));
            }
            Entry::NetworkFee { txid, amount } => {
                let out = self.booked.entry(txid.clone()).or_default();
                *out = out.saturating_add(i128::from(amount.0));
            }
            Entry::Adjustment { postings, reason, .. } => {
                let of_wallet = postings.iter().filter(|posting| posting.account == Account::Wallet);
                let moved = of_wallet.fold(0_i128, |sum, posting| sum.saturating_add(posting.amount));
                match booked_as_extra(reason) {
                    Some(txid) => {
                        let out = self.booked.entry(txid).or_default();
                        *out = out.saturating_sub(moved);
                    }
                    None => self.adjusted = self.adjusted.saturating_add(moved),
                }
            }
            _ => {}
        }
    }
}

/// The wallet's transactions, of which each is taken once.
struct Moves<'a> {
    by_txid: BTreeMap<&'a TxId, &'a Move>,
    /// Coinbases by what an income's key may begin with.
    by_key: BTreeMap<Vec<u8>, &'a TxId>,
    left: BTreeSet<&'a TxId>,
}

impl<'a> Moves<'a> {
    fn of(wallet: &'a WalletBook) -> Self {
        let by_txid = wallet.moves.iter().map(|one| (&one.txid, one)).collect();
        let mut by_key = BTreeMap::new();
        for one in &wallet.moves {
            // Adapters name an income by its transaction or by its block, written as nodes do or the other way round.
            let block = one.block.as_deref().filter(|_| one.coinbase);
            for name in block.into_iter().chain([one.txid.0.as_str()]) {
                let Ok(bytes) = hex::decode(name) else { continue };
                by_key.insert(bytes.iter().rev().copied().collect(), &one.txid);
                by_key.insert(bytes, &one.txid);
            }
        }
        Self { by_txid, by_key, left: wallet.moves.iter().map(|one| &one.txid).collect() }
    }

    fn take(&mut self, txid: &TxId) -> Option<&'a Move> {
        self.left.remove(txid);
        self.by_txid.get(txid).copied()
    }

    fn of_income(&mut self, key: &IncomeKey) -> Option<&'a Move> {
        // A key that is longer has the output's number after the name.
        let bytes = key.as_bytes();
        let name = bytes.get(..32).unwrap_or(bytes);
        let txid = self.by_key.get(name).copied()?;
        self.take(txid)
    }
}

impl Settlement {
    /// Holds ledger, wallet and chain against each other. Writes nothing.
    ///
    /// # Errors
    /// When the wallet does not answer or cannot tell what it did, or the log cannot be read.
    pub fn reconcile(&self) -> Result<Reconciled, SettlementError> {
        let wallet = self.wallet.book()?;
        let mut logged = Logged::default();
        self.ledger.reader().for_each_record(&mut |record, _| {
            logged.take(record);
            Ok(())
        })?;
        let book = self.ledger.book().clone();
        let mut moves = Moves::of(&wallet);
        let mut found = Vec::new();
        for (key, income) in book.incomes().filter(|(_, income)| !income.direct) {
            found.extend(of_income(key, income, moves.of_income(key)));
        }
        for payment in book.payments() {
            let lost = logged.lost.get(&payment.id).copied().unwrap_or_default();
            if let Some(txid) = &payment.txid
                && !logged.booked.contains_key(txid)
            {
                found.extend(self.of_payment(payment, lost, moves.take(txid))?);
            }
        }
        for (txid, out) in &logged.booked {
            found.extend(of_booked(txid, *out, moves.take(txid)));
        }
        let marked =
            book.payments().filter_map(|payment| Some((payment.marker.as_deref()?, payment))).collect();
        found.extend(of_others(&moves, &marked, logged.adjusted));
        Ok(sum(&book, &wallet, found))
    }

    /// What a payment's own transaction did, against what the ledger says.
    fn of_payment(
        &self,
        payment: &PaymentState,
        lost: i128,
        one: Option<&Move>,
    ) -> Result<Option<Difference>, SettlementError> {
        let txid = payment.txid.as_ref().map(|txid| txid.0.as_str()).unwrap_or_default();
        let about = format!("payment {}, {txid}", payment.id);
        let net = one.filter(|one| one.stands != Stands::Never).map(|one| one.net);
        let told = |code, amount, more: &str| Some(difference(code, amount, format!("{about}{more}")));
        if payment.status != PaymentStatus::Settled {
            let void = payment.status.is_void();
            return Ok(net.and_then(|net| told(if void { Code::PaidTwice } else { Code::InFlight }, net, "")));
        }
        let out = i128::from(payment.sent.0).saturating_add(i128::from(payment.fee.0)).saturating_add(lost);
        let Some(net) = net else {
            if one.is_some() {
                return Ok(told(Code::PaymentConflicted, out, ""));
            }
            let gone = self.has_no_output(payment)?;
            let more = if gone { ": nor has the chain what it made" } else { ": the chain has what it made" };
            return Ok(told(Code::PaymentLost, out, more));
        };
        match net.saturating_add(out) {
            0 => Ok(None),
            more => {
                let addresses = payment.rows.iter().map(|row| row.address.clone()).collect();
                let own = self.own_of(addresses)?;
                let to_itself = payment.rows.iter().filter(|row| own.contains(&row.address));
                let kept = to_itself.fold(0_i128, |sum, row| sum.saturating_add(i128::from(row.amount.0)));
                Ok(told(if kept == more { Code::OwnRow } else { Code::PaidOtherwise }, more, ""))
            }
        }
    }
}

fn difference(code: Code, amount: i128, about: String) -> Difference {
    Difference { code, amount, about, wrong: !code.is_ordinary() }
}

fn of_income(key: &IncomeKey, income: &IncomeState, one: Option<&Move>) -> Option<Difference> {
    let net = one.filter(|one| one.stands != Stands::Never).map(|one| one.net);
    let amount = i128::from(income.amount.0);
    let (code, more) = match (income.status, net) {
        (IncomeStatus::Immature, Some(net)) if net == amount => (Code::IncomeImmature, net),
        (IncomeStatus::Immature, Some(net)) => (Code::IncomeDiffers, net),
        (IncomeStatus::Immature, None) => (Code::IncomeUnseen, 0),
        (IncomeStatus::Matured, Some(net)) if net == amount => return None,
        (IncomeStatus::Matured, Some(net)) => (Code::IncomeDiffers, net.saturating_sub(amount)),
        (IncomeStatus::Matured, None) => (Code::IncomeUnseen, amount.saturating_neg()),
        (IncomeStatus::Reversed(_) | IncomeStatus::LostAfterMaturity, Some(net)) => {
            (Code::ReversedButThere, net)
        }
        (IncomeStatus::Reversed(_) | IncomeStatus::LostAfterMaturity, None) => return None,
    };
    Some(difference(code, more, format!("income {key}")))
}

/// What was booked by the name of its transaction.
fn of_booked(txid: &TxId, out: i128, one: Option<&Move>) -> Option<Difference> {
    let about = format!("booked by its name, {txid}");
    match one {
        None => Some(difference(Code::PaymentLost, out, about)),
        Some(one) if one.stands == Stands::Never => Some(difference(Code::PaymentConflicted, out, about)),
        Some(one) => match one.net.saturating_add(out) {
            0 => None,
            more => Some(difference(Code::PaidOtherwise, more, about)),
        },
    }
}

/// The transactions that belong to nothing by their name, and the adjustments that name none.
fn of_others(moves: &Moves<'_>, marked: &BTreeMap<&str, &PaymentState>, adjusted: i128) -> Vec<Difference> {
    let mut found = Vec::new();
    let standing = moves.left.iter().filter_map(|txid| moves.by_txid.get(txid));
    for one in standing.filter(|one| one.stands != Stands::Never) {
        let payment = one.marker.as_deref().and_then(|marker| marked.get(marker));
        let (code, about) = match payment {
            Some(payment) if payment.status.is_open() && payment.txid.is_none() => {
                (Code::InFlight, format!("payment {}, {}", payment.id, one.txid))
            }
            Some(payment) => (Code::PaidTwice, format!("payment {}, {}", payment.id, one.txid)),
            None if one.coinbase => (Code::IncomeUnbooked, one.txid.0.clone()),
            None => (Code::Foreign, one.txid.0.clone()),
        };
        found.push(difference(code, one.net, about));
    }
    let foreign = found.iter().filter(|one| one.code == Code::Foreign);
    let came = foreign.fold(0_i128, |sum, one| sum.saturating_add(one.amount));
    if adjusted != 0 {
        let about = "adjustments that name no transaction, the declared reserve among them".to_owned();
        found.push(difference(Code::Adjusted, adjusted.saturating_neg(), about));
    }
    if came != adjusted {
        let apart = found.iter_mut().filter(|one| matches!(one.code, Code::Foreign | Code::Adjusted));
        apart.for_each(|one| one.wrong = true);
    }
    found
}

fn sum(book: &Book, wallet: &WalletBook, differences: Vec<Difference>) -> Reconciled {
    let (ledger, holds) = (book.balance(&Account::Wallet), i128::from(wallet.holds.0));
    let explained = differences.iter().fold(0_i128, |sum, one| sum.saturating_add(one.amount));
    let residual = holds.saturating_sub(ledger).saturating_sub(explained);
    Reconciled { ledger, wallet: holds, differences, residual }
}
