//! Sums over balances, incomes and payments, carried along with every entry, so that the pool's figures cost the same
//! after a year as on the first day. What they say is compared with a walk over everything by [`Book::totals_anew`].

use crate::{Account, Book, IncomeState, IncomeStatus, Owner, PaymentState, Totals};
use std::sync::atomic::{AtomicU64, Ordering};

/// Running sums of a book. Derived: not part of a checkpoint, but of everything that one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) miners: i128,
    pub(crate) fees: i128,
    pub(crate) pooled: i128,
    pub(crate) immature: i128,
    /// All balances, assets positive: zero.
    pub(crate) trial: i128,
    pub(crate) flying_miners: i128,
    pub(crate) flying_fees: i128,
    /// Carried-in units of open incomes: they have left the carry account and are not credited yet.
    pub(crate) carried_in: i128,
    /// Incomes that are mature.
    pub(crate) matured: u64,
}

impl Sums {
    /// The sums of a book, from all that is in it.
    pub(crate) fn walk(book: &Book) -> Self {
        let mut sums = Self::default();
        for (account, balance) in book.balances() {
            sums.balance(&account, balance);
        }
        book.incomes().for_each(|(_, income)| sums.income(income, 1));
        book.payments().for_each(|payment| sums.payment(payment, 1));
        sums
    }

    /// An account's balance grew by this much.
    pub(crate) fn balance(&mut self, account: &Account, grew: i128) {
        let (sum, sign) = match account {
            Account::Payable(Owner::Miner(_)) => (Some(&mut self.miners), -1),
            Account::Payable(Owner::Fee(_)) => (Some(&mut self.fees), -1),
            Account::Payable(Owner::Carry | Owner::Reserve) => (Some(&mut self.pooled), -1),
            Account::Immature(_) => (Some(&mut self.immature), -1),
            Account::InFlight => (None, -1),
            Account::ImmatureIncome | Account::Wallet | Account::NetworkFees | Account::OperatorLoss => {
                (None, 1)
            }
        };
        if let Some(sum) = sum {
            *sum = sum.saturating_add(grew);
        }
        self.trial = self.trial.saturating_add(grew.saturating_mul(sign));
    }

    /// An income is counted (`sign` 1) or no longer (-1).
    pub(crate) fn income(&mut self, income: &IncomeState, sign: i128) {
        if income.status == IncomeStatus::Immature && !income.credited_early {
            let pooled = i128::from(income.carry_in.0) + i128::from(income.reserve_in.0);
            self.carried_in = self.carried_in.saturating_add(sign * pooled);
        }
        if income.status == IncomeStatus::Matured {
            self.matured = if sign > 0 { self.matured + 1 } else { self.matured.saturating_sub(1) };
        }
    }

    /// A payment is counted (`sign` 1) or no longer (-1).
    pub(crate) fn payment(&mut self, payment: &PaymentState, sign: i128) {
        if !payment.status.is_open() {
            return;
        }
        for row in &payment.rows {
            let miner = matches!(row.owner, Owner::Miner(_));
            let sum = if miner { &mut self.flying_miners } else { &mut self.flying_fees };
            *sum = sum.saturating_add(sign * i128::from(row.amount.0));
        }
    }
}

/// How many incomes and payments readers were handed so far: what a page must not make grow with the history.
#[derive(Debug, Default)]
pub(crate) struct Walked(AtomicU64);

impl Walked {
    pub(crate) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clone for Walked {
    fn clone(&self) -> Self {
        Self::default()
    }
}

// Books are equal whoever read them.
impl PartialEq for Walked {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Walked {}

impl Book {
    /// How many incomes are mature.
    #[must_use]
    pub fn matured(&self) -> u64 {
        self.sums.matured
    }

    /// How many incomes and payments [`Book::incomes`] and [`Book::payments`] have handed out since the book is in
    /// memory. A reader who is asked often must not make it grow with the history.
    #[must_use]
    pub fn walked(&self) -> u64 {
        self.walked.0.load(Ordering::Relaxed)
    }

    /// The pool's figures, summed anew over all balances, incomes and payments; `conserved` also says that the running
    /// sums agree, and what each owner was sent with what was sent in all. For those who check: it takes time with the
    /// length of the history.
    #[must_use]
    pub fn totals_anew(&self) -> Totals {
        let sums = Sums::walk(self);
        let totals = Totals::of(self, &sums);
        let agree = sums == self.sums && self.sent() == (totals.paid, totals.paid_fees);
        Totals { conserved: totals.conserved && agree, ..totals }
    }
}
