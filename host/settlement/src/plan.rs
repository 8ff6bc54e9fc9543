//! Who is paid what in one run. Pure: the same book, rules and facts give the same plan; a dry run is a plan shown.

use crate::{Payees, Policy, SettlementError};
use millpond_ledger::{Book, Owner, PaymentRow};
use millpond_types::{Amount, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};

/// The day of the cap per day.
const DAY_MS: u64 = 86_400_000;

/// Why an owner gets nothing, or not everything, in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// He has less than this.
    BelowMinimum(Amount),
    /// The pool knows no address of his.
    NoAddress,
    /// His address is the wallet's own, and nobody else is paid: there is nothing to send.
    OwnAddressOnly,
    /// The run's cap is reached.
    CapPerRun,
    /// The day's cap is reached.
    CapPerDay,
    /// The wallet's spendable coins do not reach.
    NotSpendable,
}

/// An owner who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Who.
    pub owner: Owner,
    /// What waits.
    pub amount: Amount,
    /// Why.
    pub why: Skip,
}

/// One run's payments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One payment each; rows ascending by owner.
    pub batches: Vec<Vec<PaymentRow>>,
    /// Who waits, and why.
    pub skipped: Vec<Skipped>,
    /// The sum of all batches.
    pub total: Amount,
}

/// What a run may spend, and which limit would stop it.
struct Budget {
    left: Amount,
    why: Skip,
}

impl Budget {
    fn of(book: &Book, policy: &Policy, spendable: Amount, now: UnixMillis) -> Result<Self, SettlementError> {
        let mut budget = Self { left: spendable, why: Skip::NotSpendable };
        let mut cap = |limit: Amount, why| {
            if limit < budget.left {
                budget = Self { left: limit, why };
            }
        };
        if policy.cap_per_run > Amount::ZERO {
            cap(policy.cap_per_run, Skip::CapPerRun);
        }
        if policy.cap_per_day > Amount::ZERO {
            let today = book
                .payments()
                .filter(|payment| !payment.status.is_void())
                .filter(|payment| now.since(payment.reserved_at) < DAY_MS)
                .map(millpond_ledger::PaymentState::reserved);
            let spent = Amount::sum(today).ok_or(SettlementError::Overflow("the day's payments"))?;
            cap(policy.cap_per_day.checked_sub(spent).unwrap_or(Amount::ZERO), Skip::CapPerDay);
        }
        Ok(budget)
    }
}

/// Who is to be paid, before any limit of the wallet's; and who is not.
#[derive(Debug)]
pub struct Due {
    rows: Vec<DueRow>,
    skipped: Vec<Skipped>,
}

impl Due {
    /// Where the money would go.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<String> {
        self.rows.iter().map(|row| row.address.clone()).collect()
    }
}

#[derive(Debug)]
struct DueRow {
    owner: Owner,
    address: String,
    amount: Amount,
    minimum: Amount,
    last_paid: UnixMillis,
}

/// Plans a run over what is [`due`]. `spendable` is what the wallet can spend; `own` tells which addresses are the
/// wallet's own.
///
/// Who waited longest comes first, so that a cap starves nobody; a balance above what is left of a cap is paid in part.
///
/// # Errors
/// When sums leave 64 bits.
pub fn plan(
    book: &Book,
    due: Due,
    policy: &Policy,
    spendable: Amount,
    own: &BTreeSet<String>,
    now: UnixMillis,
) -> Result<Plan, SettlementError> {
    let Due { rows: mut due, skipped } = due;
    let mut plan = Plan { skipped, ..Plan::default() };
    due.sort_by(|a, b| (a.last_paid, &a.owner).cmp(&(b.last_paid, &b.owner)));
    if due.iter().all(|one| own.contains(&one.address)) {
        let waits = |one: DueRow| Skipped { owner: one.owner, amount: one.amount, why: Skip::OwnAddressOnly };
        plan.skipped.extend(due.into_iter().map(waits));
        return Ok(plan);
    }
    let mut budget = Budget::of(book, policy, spendable, now)?;
    let mut rows = Vec::new();
    for one in due {
        let amount = one.amount.min(budget.left);
        let waits = one.amount.checked_sub(amount).unwrap_or(Amount::ZERO);
        let paid = amount >= one.minimum && amount > Amount::ZERO;
        if !paid || waits > Amount::ZERO {
            let rest = if paid { waits } else { one.amount };
            plan.skipped.push(Skipped { owner: one.owner.clone(), amount: rest, why: budget.why });
        }
        if paid {
            budget.left = budget.left.checked_sub(amount).unwrap_or(Amount::ZERO);
            plan.total = plan.total.checked_add(amount).ok_or(SettlementError::Overflow("a run"))?;
            rows.push(PaymentRow { owner: one.owner, address: one.address, amount });
        }
    }
    plan.batches = batches(rows, policy.batch.max(1), own);
    Ok(plan)
}

/// Whose balance has come to what he is paid from.
#[must_use]
pub fn due(book: &Book, payees: &dyn Payees, policy: &Policy) -> Due {
    let mut skipped = Vec::new();
    let mut last_paid = BTreeMap::<&Owner, UnixMillis>::new();
    for payment in book.payments().filter(|payment| !payment.status.is_void()) {
        last_paid.extend(payment.rows.iter().map(|row| (&row.owner, payment.reserved_at)));
    }
    let mut due = Vec::new();
    for (owner, amount) in book.payables() {
        if !matches!(owner, Owner::Miner(_) | Owner::Fee(_)) || amount == Amount::ZERO {
            continue;
        }
        let mut skip = |why| skipped.push(Skipped { owner: owner.clone(), amount, why });
        let Some(to) = payees.pay_to(&owner).filter(|to| !to.address.is_empty()) else {
            skip(Skip::NoAddress);
            continue;
        };
        let minimum = policy.minimum.max(to.minimum);
        if amount < minimum {
            skip(Skip::BelowMinimum(minimum));
            continue;
        }
        let last_paid = last_paid.get(&owner).copied().unwrap_or_default();
        due.push(DueRow { owner, address: to.address, amount, minimum, last_paid });
    }
    Due { rows: due, skipped }
}

/// Batches of at most `limit` outputs. Owners with the same address share an output and a batch; an own address needs
/// no output at all.
fn batches(rows: Vec<PaymentRow>, limit: usize, own: &BTreeSet<String>) -> Vec<Vec<PaymentRow>> {
    let mut by_address: Vec<(String, Vec<PaymentRow>)> = Vec::new();
    let mut places = BTreeMap::<String, usize>::new();
    for row in rows {
        let at = *places.entry(row.address.clone()).or_insert(by_address.len());
        match by_address.get_mut(at) {
            Some((_, group)) => group.push(row),
            None => by_address.push((row.address.clone(), vec![row])),
        }
    }
    let (free, foreign): (Vec<_>, Vec<_>) =
        by_address.into_iter().partition(|(address, _)| own.contains(address));
    let mut batches: Vec<Vec<PaymentRow>> = foreign
        .chunks(limit)
        .map(|chunk| chunk.iter().flat_map(|(_, group)| group.clone()).collect())
        .collect();
    if let Some(first) = batches.first_mut() {
        first.extend(free.into_iter().flat_map(|(_, group)| group));
    }
    for batch in &mut batches {
        batch.sort_by(|a, b| a.owner.cmp(&b.owner));
    }
    batches
}
