//! A coinbase that pays many miners itself: who stands in it, with which weights, and what the others are left owed.
//!
//! Firmware takes a coinbase of so many bytes only, so a block cannot pay everybody. Nobody holds anything for those who
//! are left out: all of a block goes to those who stand in its coinbase, who get what they are due and, by their dues, what
//! the others are. What somebody is due and was not paid is *deferred*, what he was paid and is not due stands against him,
//! and both together are nothing at any time. Deferred balances are no money of the pool's: they say who comes next.
//!
//! Pure functions of what the caller gives: the same on a restart and in a replay.

use crate::PayoutError;
use millpond_ledger::{Allocation, Entry, IncomeAllocated, IncomeKey, Owner};
use millpond_types::{Amount, MinerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Outputs of a coinbase at most: with the witness commitment their number is written in one byte.
pub const MOST_OUTPUTS: usize = 251;
/// Bytes of an output beside its script: its value, and the script's length.
const BESIDE_SCRIPT: usize = 9;
/// The longest script that is common (P2TR, P2WSH): what is kept free for a payee who is not known before.
pub const LONGEST_SCRIPT: usize = 34;
/// With room for fewer outputs than these, who waits longest does not come first in every coinbase,
const FEW: usize = 4;
/// but in one of so many.
const EVERY: u8 = 4;
/// Matured incomes whose change of balances can be taken back.
const SETTLED: usize = 128;

/// Whom an output pays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaidTo {
    /// Whoever finds the block.
    Finder,
    /// Somebody known before.
    Owner(Owner),
}

impl PaidTo {
    /// Who that is when the block is found.
    #[must_use]
    pub fn known(&self, finder: MinerId) -> Owner {
        match self {
            Self::Finder => Owner::Miner(finder),
            Self::Owner(owner) => owner.clone(),
        }
    }
}

impl fmt::Display for PaidTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finder => f.write_str("finder"),
            Self::Owner(owner) => owner.fmt(f),
        }
    }
}

/// Somebody whom a coinbase may pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub to: PaidTo,
    /// What he is due of this block.
    pub due: Amount,
    /// Bytes of his output script.
    pub script: usize,
    /// Less than this is worth no output.
    pub least: Amount,
}

/// The bytes that a coinbase may have, without its witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What it has without the outputs that pay somebody.
    pub fixed: usize,
    /// All of it.
    pub limit: usize,
}

impl Room {
    fn after(self, script: usize) -> Option<Self> {
        let fixed = self.fixed.checked_add(BESIDE_SCRIPT)?.checked_add(script)?;
        (fixed <= self.limit).then_some(Self { fixed, ..self })
    }

    /// How many outputs with scripts of this length there is room for.
    #[must_use]
    pub fn outputs(self, script: usize) -> usize {
        let free = self.limit.saturating_sub(self.fixed);
        free.checked_div(script.saturating_add(BESIDE_SCRIPT)).unwrap_or(0).min(MOST_OUTPUTS)
    }
}

/// What somebody was left owed (above zero) or paid ahead (below).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    balance: i128,
    /// The income since which he waits; 0 when he does not.
    since: u64,
}

/// What an income changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    number: u64,
    rows: Vec<(Owner, i128)>,
    settled: bool,
    /// The chain took it back.
    gone: bool,
}

/// What everybody was left owed or paid ahead by coinbases that paid many: a function of the ledger's entries, whose sum
/// is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deferred {
    rows: BTreeMap<Owner, Row>,
    incomes: BTreeMap<IncomeKey, Change>,
    /// Incomes that were counted.
    number: u64,
}

impl Deferred {
    /// Whether no coinbase ever paid many.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.number == 0
    }

    /// One owner's balance.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> i128 {
        self.rows.get(owner).map_or(0, |row| row.balance)
    }

    /// All balances that are not zero.
    pub fn balances(&self) -> impl Iterator<Item = (&Owner, i128)> {
        self.rows.iter().map(|(owner, row)| (owner, row.balance))
    }

    fn since(&self, owner: &Owner) -> u64 {
        self.rows.get(owner).map_or(0, |row| row.since)
    }

    /// Counts an entry of the ledger.
    ///
    /// # Errors
    /// When a balance does not fit.
    pub fn follow(&mut self, entry: &Entry) -> Result<(), PayoutError> {
        match entry {
            Entry::IncomeAllocated(income) if !income.due.shares().is_empty() => self.count(income),
            Entry::Matured { key } => {
                if let Some(change) = self.incomes.get_mut(key) {
                    change.settled = true;
                    self.forget();
                }
                Ok(())
            }
            Entry::Reversed { key, .. } => self.turn(key, true),
            Entry::Reinstated { key } => self.turn(key, false),
            _ => Ok(()),
        }
    }

    fn count(&mut self, income: &IncomeAllocated) -> Result<(), PayoutError> {
        let mut rows: BTreeMap<Owner, i128> = BTreeMap::new();
        for share in income.due.shares() {
            *rows.entry(share.0.clone()).or_default() += i128::from(share.1.0);
        }
        for share in income.parts.shares() {
            *rows.entry(share.0.clone()).or_default() -= i128::from(share.1.0);
        }
        let rows: Vec<(Owner, i128)> = rows.into_iter().filter(|row| row.1 != 0).collect();
        self.number = self.number.saturating_add(1);
        self.add(&rows, 1)?;
        let change = Change { number: self.number, rows, settled: false, gone: false };
        self.incomes.insert(income.key.clone(), change);
        Ok(())
    }

    /// An income is gone, or there after all.
    fn turn(&mut self, key: &IncomeKey, gone: bool) -> Result<(), PayoutError> {
        let Some(change) = self.incomes.get_mut(key).filter(|change| change.gone != gone) else {
            return Ok(());
        };
        change.gone = gone;
        let rows = change.rows.clone();
        self.add(&rows, if gone { -1 } else { 1 })
    }

    fn add(&mut self, rows: &[(Owner, i128)], sign: i128) -> Result<(), PayoutError> {
        for (owner, by) in rows {
            let row = self.rows.entry(owner.clone()).or_insert(Row { balance: 0, since: 0 });
            let sum = by.checked_mul(sign).and_then(|by| row.balance.checked_add(by));
            row.balance = sum.ok_or_else(|| PayoutError::Input("a deferred balance does not fit".into()))?;
            row.since = match (row.balance > 0, row.since) {
                (false, _) => 0,
                (true, 0) => self.number,
                (true, since) => since,
            };
            if row.balance == 0 {
                self.rows.remove(owner);
            }
        }
        Ok(())
    }

    /// Old incomes are not taken back any more.
    fn forget(&mut self) {
        let mut settled: Vec<u64> =
            self.incomes.values().filter(|change| change.settled).map(|change| change.number).collect();
        settled.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(last) = settled.get(SETTLED) {
            self.incomes.retain(|_, change| !change.settled || change.number > *last);
        }
    }
}

/// Who stands in the next coinbase, in the order of its outputs, with the weights that its reward is divided by.
///
/// First the one with the most credit of those who are due something (what nobody else can be given goes to him), the finder
/// where he is due something, and who waits longest; then by credit, which is what is deferred and what is due together. Who
/// is chosen weighs what he has credit for. What is left of `gross` then goes to them by their dues, so that nobody is ahead
/// by more of his own dues than the others; where their credits are more than `gross`, all of them are cut alike.
///
/// `seed` is the previous block's hash: it settles ties, and the order of outputs that rounding goes by. Empty when nobody
/// has any credit.
#[must_use]
pub fn select(
    candidates: &[Candidate],
    deferred: &Deferred,
    gross: Amount,
    room: Room,
    seed: &[u8],
) -> Vec<(PaidTo, u64)> {
    let all: Vec<Ranked<'_>> = candidates.iter().map(|one| Ranked::of(one, deferred, seed)).collect();
    let order = in_order(&all, room, seed);
    let (mut chosen, mut left): (Vec<&Ranked<'_>>, Room) = (Vec::new(), room);
    for one in order {
        if chosen.len() >= MOST_OUTPUTS {
            break;
        }
        if let Some(less) = left.after(one.of.script) {
            left = less;
            chosen.push(one);
        }
    }
    let mut weights = weigh(&chosen, gross);
    // Where all are cut, somebody's part may be worth no output any more.
    while chosen.len() > 1 {
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let worth = |at: usize| {
            let weight = weights.get(at).copied().unwrap_or(0);
            u128::from(weight).saturating_mul(u128::from(gross.0)).checked_div(total).unwrap_or(0)
        };
        let small = (0..chosen.len())
            .filter(|at| chosen.get(*at).is_some_and(|one| worth(*at) < u128::from(one.of.least.0.max(1))))
            .min_by_key(|at| worth(*at));
        let Some(at) = small else { break };
        chosen.remove(at);
        weights = weigh(&chosen, gross);
    }
    let mut planned: Vec<_> = chosen.into_iter().zip(weights).filter(|(_, weight)| *weight > 0).collect();
    planned.sort_by_key(|row| row.0.tie);
    planned.into_iter().map(|(one, weight)| (one.of.to.clone(), weight)).collect()
}

/// A candidate with what he is ranked by.
struct Ranked<'a> {
    of: &'a Candidate,
    credit: i128,
    since: u64,
    tie: [u8; 32],
}

impl<'a> Ranked<'a> {
    fn of(one: &'a Candidate, deferred: &Deferred, seed: &[u8]) -> Self {
        let (balance, since) = match &one.to {
            PaidTo::Finder => (0, 0),
            PaidTo::Owner(owner) => (deferred.of(owner), deferred.since(owner)),
        };
        let mut tie = blake3::Hasher::new();
        tie.update(&(seed.len() as u64).to_le_bytes()).update(seed).update(one.to.to_string().as_bytes());
        let credit = balance.saturating_add(i128::from(one.due.0));
        Self { of: one, credit, since, tie: *tie.finalize().as_bytes() }
    }

    fn is_worth_it(&self) -> bool {
        self.credit >= i128::from(self.of.least.0.max(1))
    }
}

fn in_order<'r, 'a>(all: &'r [Ranked<'a>], room: Room, seed: &[u8]) -> Vec<&'r Ranked<'a>> {
    let mut rest: Vec<&Ranked<'_>> = all.iter().filter(|one| one.is_worth_it()).collect();
    rest.sort_by(|a, b| b.credit.cmp(&a.credit).then_with(|| a.tie.cmp(&b.tie)));
    let is_due = |one: &&&Ranked<'_>| one.of.due > Amount::ZERO;
    // Of those whom an output is not worth it for one is better than none.
    let best = rest.iter().find(is_due).copied().or_else(|| {
        let due = all.iter().filter(|one| one.of.due > Amount::ZERO);
        due.max_by(|a, b| a.credit.cmp(&b.credit).then_with(|| b.tie.cmp(&a.tie)))
    });
    let finder = rest.iter().find(|one| one.of.to == PaidTo::Finder).copied();
    let turn = blake3::hash(seed).as_bytes().first().is_some_and(|byte| byte % EVERY == 0);
    let waits = room.outputs(LONGEST_SCRIPT) >= FEW || turn;
    let longest = rest.iter().filter(|one| waits && one.since > 0);
    let longest = longest.min_by(|a, b| a.since.cmp(&b.since).then_with(|| a.tie.cmp(&b.tie))).copied();
    let mut order: Vec<&Ranked<'_>> = Vec::with_capacity(rest.len().saturating_add(1));
    for one in [best, finder, longest].into_iter().flatten() {
        if !order.iter().any(|known| std::ptr::eq(*known, one)) {
            order.push(one);
        }
    }
    let first = order.clone();
    order.extend(rest.into_iter().filter(|one| !first.iter().any(|known| std::ptr::eq(*known, *one))));
    order
}

/// What each of them weighs; together `gross`, or more where they have credit for more.
fn weigh(chosen: &[&Ranked<'_>], gross: Amount) -> Vec<u64> {
    let credit = |one: &Ranked<'_>| u128::try_from(one.credit).unwrap_or(0);
    let sum: u128 = chosen.iter().map(|one| credit(one)).sum();
    let surplus = u128::from(gross.0).saturating_sub(sum);
    let dues: Vec<u64> = chosen.iter().map(|one| one.of.due.0).collect();
    let ahead = u64::try_from(surplus).ok().and_then(|surplus| cumulative(Amount(surplus), &dues));
    let ahead = ahead.unwrap_or_default().into_iter().map(|amount| u128::from(amount.0));
    let weights = chosen.iter().map(|one| credit(one)).zip(ahead.chain(std::iter::repeat(0)));
    let weights: Vec<u128> = weights.map(|(credit, ahead)| credit.saturating_add(ahead)).collect();
    let total: u128 = weights.iter().sum();
    // A sum beyond 64 bits is no money of any chain's; it is cut rather than refused.
    let shift = 128_u32.saturating_sub(total.leading_zeros()).saturating_sub(u64::BITS);
    weights.into_iter().map(|weight| u64::try_from(weight >> shift).unwrap_or(u64::MAX)).collect()
}

/// What each gets of an amount by weight: divided by the cumulative rule, as chain adapters divide a block's reward, so
/// that every unit goes somewhere. `None` when nobody has a weight, or the weights exceed 64 bits together.
#[must_use]
pub fn cumulative(amount: Amount, weights: &[u64]) -> Option<Vec<Amount>> {
    let total = weights.iter().try_fold(0_u64, |sum, weight| sum.checked_add(*weight))?;
    let (mut weight, mut given) = (0_u64, Amount::ZERO);
    let mut parts = Vec::with_capacity(weights.len());
    for one in weights {
        weight = weight.checked_add(*one)?;
        let upto = amount.fraction(weight, total)?;
        parts.push(upto.checked_sub(given)?);
        given = upto;
    }
    Some(parts)
}

/// The entry of a block's income: its parts are what the coinbase's outputs paid, and beside them stands what everybody was
/// due, by the scheme's weights.
///
/// # Errors
/// When nobody has a weight.
pub fn divide(
    key: IncomeKey,
    amount: Amount,
    outputs: &[(PaidTo, u64)],
    due: &[(PaidTo, u64)],
    finder: MinerId,
) -> Result<IncomeAllocated, PayoutError> {
    let by = |rows: &[(PaidTo, u64)]| {
        let weights: Vec<u64> = rows.iter().map(|row| row.1).collect();
        let amounts = cumulative(amount, &weights)
            .ok_or_else(|| PayoutError::Input("nobody has a weight in a planned coinbase".to_owned()))?;
        let owners = rows.iter().map(|row| row.0.known(finder));
        Ok::<_, PayoutError>(Allocation::merged(owners.zip(amounts))?)
    };
    let entry = IncomeAllocated::new(key, amount, Amount::ZERO, by(outputs)?, Vec::new())?;
    Ok(entry.paid_directly().with_dues(by(due)?)?)
}
