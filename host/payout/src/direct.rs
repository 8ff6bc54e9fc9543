//! A coinbase that pays many miners itself: who stands in it, with which weights, and what the others are left owed.
//!
//! Firmware takes a coinbase of so many bytes only, so a block cannot pay everybody. Nobody holds anything for those who
//! are left out: all of a block goes to those who stand in its coinbase, who get what they are due and, beside it, what the
//! others are. What somebody is due and was not paid is *deferred*, what he was paid and is not due stands against him,
//! and both together are nothing at any time. Deferred balances are no money of the pool's: they say who comes next.
//!
//! Who is paid ahead can leave, or come back under another address, and keeps it at the others' cost. So it goes by what an
//! address has *earned*, which is what it was due of earlier blocks that count, each times the blocks since: its *standing*.
//! Everybody in a coinbase ends up ahead by the same part of that, the *level*, and those are chosen with whom it is least.
//! An address that is new is never ahead, and who splits has together the standing of one.
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
const SETTLED: usize = 16;
/// Standing counts as far as what is due now would have come to in 4,096 blocks: who mines little is not ahead by what he
/// was once.
const HORIZON: u128 = 4_096 * 4_096 / 2;
/// Fractional bits of a level.
const LEVEL_BITS: u32 = 32;
/// The bits of the highest level that is looked for.
const LEVEL_MOST: u32 = 96;

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
    /// What he was due of all incomes that count,
    earned: u128,
    /// and each of that times its income's number.
    moment: u128,
}

/// What an income changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    number: u64,
    /// By owner: the balance, and what was due.
    rows: Vec<(Owner, i128, u64)>,
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
        let rows = self.rows.iter().filter(|(_, row)| row.balance != 0);
        rows.map(|(owner, row)| (owner, row.balance))
    }

    /// What an owner was due of all incomes that count.
    #[must_use]
    pub fn earned(&self, owner: &Owner) -> u128 {
        self.rows.get(owner).map_or(0, |row| row.earned)
    }

    /// The balances alone: what a plan goes by, and nothing that a lost block would need.
    #[must_use]
    pub fn rows_alone(&self) -> Self {
        Self { rows: self.rows.clone(), incomes: BTreeMap::new(), number: self.number }
    }

    /// What an owner was due of each income that counts, times the incomes from there to the next.
    fn standing(&self, owner: &Owner) -> u128 {
        let next = u128::from(self.number).saturating_add(1);
        let row = self.rows.get(owner);
        row.map_or(0, |row| row.earned.saturating_mul(next).saturating_sub(row.moment))
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
        let mut rows: BTreeMap<Owner, (i128, u64)> = BTreeMap::new();
        for share in income.due.shares() {
            let row = rows.entry(share.0.clone()).or_default();
            *row = (row.0.saturating_add(share.1.0.into()), row.1.saturating_add(share.1.0));
        }
        for share in income.parts.shares() {
            let row = rows.entry(share.0.clone()).or_default();
            row.0 = row.0.saturating_sub(share.1.0.into());
        }
        let rows: Vec<_> = rows.into_iter().map(|(owner, (by, due))| (owner, by, due)).collect();
        self.number = self.number.saturating_add(1);
        self.add(&rows, self.number, false)?;
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
        let (rows, number) = (change.rows.clone(), change.number);
        self.add(&rows, number, gone)
    }

    fn add(&mut self, rows: &[(Owner, i128, u64)], number: u64, gone: bool) -> Result<(), PayoutError> {
        for (owner, by, due) in rows {
            let row =
                self.rows.entry(owner.clone()).or_insert(Row { balance: 0, since: 0, earned: 0, moment: 0 });
            let (due, moment) = (u128::from(*due), u128::from(*due).saturating_mul(number.into()));
            let sum = match gone {
                true => row.balance.checked_sub(*by),
                false => row.balance.checked_add(*by),
            };
            (row.earned, row.moment) = match gone {
                true => (row.earned.saturating_sub(due), row.moment.saturating_sub(moment)),
                false => (row.earned.saturating_add(due), row.moment.saturating_add(moment)),
            };
            row.balance = sum.ok_or_else(|| PayoutError::Input("a deferred balance does not fit".into()))?;
            row.since = match (row.balance > 0, row.since) {
                (false, _) => 0,
                (true, 0) => self.number,
                (true, since) => since,
            };
            if row.balance == 0 && row.earned == 0 {
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
/// First the finder where he is due something, and who waits longest for most; then those to whom the coinbase would pay
/// most: their credit, which is what is deferred and what is due together, and the level's part of their standing. At
/// that level as many as fit are paid `gross` together, so it is the lowest at which it can be paid out. What those who are
/// chosen have no credit for then goes to them by their standing, and where nobody of them has any, by their dues. Who is due nothing is never ahead. Where their credits are more than `gross`, all of them are cut alike.
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
    let order = in_order(&all, gross, room, seed);
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
    // Where all are cut, or the level is lower than it was thought, somebody's part may be worth no output any more.
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
    /// His standing, as far as it counts.
    standing: u128,
    /// For how many incomes he waits, 0 when he does not.
    waits: u64,
    tie: [u8; 32],
}

impl<'a> Ranked<'a> {
    fn of(one: &'a Candidate, deferred: &Deferred, seed: &[u8]) -> Self {
        let (balance, since, standing) = match &one.to {
            PaidTo::Finder => (0, 0, 0),
            PaidTo::Owner(owner) => (deferred.of(owner), deferred.since(owner), deferred.standing(owner)),
        };
        let mut tie = blake3::Hasher::new();
        tie.update(&(seed.len() as u64).to_le_bytes()).update(seed).update(one.to.to_string().as_bytes());
        let credit = balance.saturating_add(i128::from(one.due.0));
        let standing = standing.min(u128::from(one.due.0).saturating_mul(HORIZON));
        let waits = if since == 0 { 0 } else { deferred.number.saturating_sub(since).saturating_add(1) };
        Self { of: one, credit, standing, waits, tie: *tie.finalize().as_bytes() }
    }

    /// What he would be paid at a level.
    fn at(&self, level: u128) -> i128 {
        let ahead = i128::try_from(self.standing.saturating_mul(level) >> LEVEL_BITS).unwrap_or(i128::MAX);
        self.credit.saturating_add(ahead)
    }

    fn is_worth(&self, paid: i128) -> bool {
        paid >= i128::from(self.of.least.0.max(1))
    }
}

/// The lowest level at which as many as there is room for are paid all of a block, rounded up to two significant digits or
/// so: whom it chooses is what matters, [`weigh`] divides to the unit.
fn level(all: &[Ranked<'_>], gross: Amount, room: Room) -> u128 {
    let scripts = all.iter().map(|one| one.of.script).fold(0, usize::saturating_add);
    let places = room.outputs(scripts.checked_div(all.len()).unwrap_or(0));
    let pays = |level: u128| {
        let mut paid: Vec<i128> = all.iter().map(|one| one.at(level).max(0)).collect();
        if places < paid.len() {
            paid.select_nth_unstable_by(places, |a, b| b.cmp(a));
            paid.truncate(places);
        }
        paid.into_iter().fold(0, i128::saturating_add) >= i128::from(gross.0)
    };
    if pays(0) || all.iter().all(|one| one.standing == 0) {
        return 0;
    }
    let Some(bits) = (0..=LEVEL_MOST).find(|bits| pays(1 << bits)) else { return 1 << LEVEL_MOST };
    let mut high: u128 = 1 << bits;
    let mut low = high >> 1;
    for _ in 0..8 {
        let middle = low.saturating_add(high.saturating_sub(low) >> 1);
        if pays(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

fn in_order<'r, 'a>(all: &'r [Ranked<'a>], gross: Amount, room: Room, seed: &[u8]) -> Vec<&'r Ranked<'a>> {
    let level = level(all, gross, room);
    let mut paid: Vec<(i128, &Ranked<'_>)> = all.iter().map(|one| (one.at(level), one)).collect();
    paid.retain(|(paid, one)| one.is_worth(*paid));
    paid.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.tie.cmp(&b.1.tie)));
    let rest: Vec<&Ranked<'_>> = paid.into_iter().map(|row| row.1).collect();
    let is_due = |one: &&&Ranked<'_>| one.of.due > Amount::ZERO;
    // Of those whom an output is not worth it for one is better than none.
    let best = rest.iter().find(is_due).copied().or_else(|| {
        let due = all.iter().filter(|one| one.of.due > Amount::ZERO);
        due.max_by(|a, b| a.credit.cmp(&b.credit).then_with(|| b.tie.cmp(&a.tie)))
    });
    let worth = |one: &&&Ranked<'_>| one.is_worth(one.credit);
    let finder = rest.iter().filter(worth).find(|one| one.of.to == PaidTo::Finder).copied();
    let turn = blake3::hash(seed).as_bytes().first().is_some_and(|byte| byte % EVERY == 0);
    let waits = room.outputs(LONGEST_SCRIPT) >= FEW || turn;
    let longest = rest.iter().filter(worth).filter(|one| waits && one.waits > 0);
    // By how much for how long: many small addresses do not stand in the way of one that is owed more.
    let waited = |one: &Ranked<'_>| one.credit.saturating_mul(one.waits.into());
    let longest = longest.max_by(|a, b| waited(a).cmp(&waited(b)).then_with(|| b.tie.cmp(&a.tie))).copied();
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
    let credits: i128 = chosen.iter().map(|one| one.credit).fold(0, i128::saturating_add);
    let surplus = i128::from(gross.0).saturating_sub(credits).max(0);
    let standing: Vec<u128> = chosen.iter().map(|one| one.standing).collect();
    let dues: Vec<u128> = chosen.iter().map(|one| one.of.due.0.into()).collect();
    let by = if standing.iter().any(|standing| *standing > 0) { standing } else { dues };
    let surplus = Amount(u64::try_from(surplus).unwrap_or(u64::MAX));
    let ahead = cumulative(surplus, &in_64_bits(by)).unwrap_or_default();
    let ahead = ahead.into_iter().map(|amount| i128::from(amount.0)).chain(std::iter::repeat(0));
    let weights = chosen.iter().zip(ahead).map(|(one, ahead)| one.credit.saturating_add(ahead));
    in_64_bits(weights.map(|weight| u128::try_from(weight).unwrap_or(0)).collect())
}

/// Weights whose sum has 64 bits. One beyond that is no money of any chain's; it is cut rather than refused.
fn in_64_bits(weights: Vec<u128>) -> Vec<u64> {
    let total = weights.iter().fold(0_u128, |sum, weight| sum.saturating_add(*weight));
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
