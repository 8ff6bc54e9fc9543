//! A share log, and what a window sums of it: the plain definition, share by share.

use crate::facts;
use millpond_contracts::payout::{Edge, Measure, Span, Terms, Window};
use primitive_types::U256;
use std::collections::BTreeMap;

/// One accepted share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedShare {
    /// Whose.
    pub miner: u64,
    /// Work units.
    pub work: u64,
    /// The network's work per block when it was submitted.
    pub network: u128,
    /// Unix milliseconds.
    pub time_ms: u64,
    /// Height or score.
    pub coord: u64,
    /// What a block of its job would have earned.
    pub reward: u64,
    /// Whether it found a block.
    pub block: bool,
}

/// Shares in the journal's order; a share's number is its place, from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareLog(pub Vec<LoggedShare>);

impl ShareLog {
    /// Places of the shares that found blocks.
    pub fn blocks(&self) -> Vec<usize> {
        self.0.iter().enumerate().filter(|(_, share)| share.block).map(|(at, _)| at).collect()
    }

    /// The windows that these terms ask for, ending at this share; `before` is the block before it.
    pub fn windows(&self, terms: &Terms, end: usize, before: Option<usize>) -> Vec<BTreeMap<u64, u128>> {
        terms.windows.iter().map(|window| self.window(*window, end, before)).collect()
    }

    fn window(&self, window: Window, end: usize, before: Option<usize>) -> BTreeMap<u64, u128> {
        let mut sums = BTreeMap::new();
        let Some(last) = self.0.get(end) else { return sums };
        let upto = self.0.get(..=end).unwrap_or(&[]);
        let weight = |share: &LoggedShare| match window.measure {
            Measure::Work => u128::from(share.work),
            Measure::Units => share.units(),
            Measure::Count => 1,
            Measure::Value => share.worth(share.reward),
            Measure::SubsidyValue => share.worth(facts::subsidy(share.reward).0),
            // In slices only what counts is by fees, and the way back is by work.
            Measure::FeeValue if matches!(window.span, Span::Slices(..)) => u128::from(share.work),
            Measure::FeeValue => share.worth(share.fees()),
        };
        let mut add = |share: &LoggedShare, sum: u128| {
            let total = sums.entry(share.miner).or_insert(0_u128);
            *total = total.saturating_add(sum);
        };
        match window.span {
            Span::Finder => add(last, 1),
            // What is unpaid follows from the incomes before: see `history::once`. Terms with the last two are refused where a
            // scheme is bound.
            Span::State | Span::Unpaid(_) | Span::StandingRound | Span::Shifts(..) => {}
            Span::Round => {
                let from = before.map_or(0, |at| at + 1);
                upto.iter().skip(from).for_each(|share| add(share, weight(share)));
            }
            Span::Shares(n) => {
                let n = usize::try_from(n).unwrap_or(usize::MAX);
                upto.iter().rev().take(n).for_each(|share| add(share, weight(share)));
            }
            Span::Millis(n) => upto
                .iter()
                .filter(|share| last.time_ms.saturating_sub(share.time_ms) < n)
                .for_each(|share| add(share, weight(share))),
            Span::Coord(n) => upto
                .iter()
                .filter(|share| last.coord.saturating_sub(share.coord) < n)
                .for_each(|share| add(share, weight(share))),
            Span::Work(thousandths) | Span::Slices(thousandths, _) => {
                let full = match window.measure {
                    Measure::Units => (u128::from(thousandths) << 64) / 1000,
                    _ => last.network.saturating_mul(thousandths.into()) / 1000,
                };
                let (mut left, mut inside) = (full, Vec::new());
                let mut add = |share: &LoggedShare, sum: u128| {
                    inside.push(sum);
                    add(share, sum);
                };
                for share in upto.iter().rev() {
                    let all = weight(share);
                    if left == 0 {
                        break;
                    }
                    if all <= left {
                        add(share, all);
                        left -= all;
                        continue;
                    }
                    match window.edge {
                        Edge::Whole => add(share, all),
                        Edge::Split => add(share, left),
                        Edge::Cut => {}
                    }
                    break;
                }
                if let (Span::Slices(_, step), Measure::FeeValue) = (window.span, window.measure) {
                    sums = by_fees(upto, step, &inside);
                }
            }
        }
        sums.retain(|_, sum| *sum > 0);
        sums
    }
}

/// What the shares weigh in their slices: each has its part of its slice's work by work and fees, in 2^-32. `inside` says
/// what of the newest ones counts, newest first.
fn by_fees(upto: &[LoggedShare], step: u64, inside: &[u128]) -> BTreeMap<u64, u128> {
    let before = upto.len().saturating_sub(inside.len());
    let (mut slice, mut first, mut coord) = (0_usize, 0, None);
    // By slice and miner: work, and work by fees.
    let mut rows: BTreeMap<usize, BTreeMap<u64, (u128, u128)>> = BTreeMap::new();
    for (at, share) in upto.iter().enumerate() {
        let grown = step > 0 && share.fees() >= step.saturating_add(first);
        if coord != Some(share.coord) || grown {
            (slice, first, coord) = (slice + 1, share.fees(), Some(share.coord));
        }
        let Some(work) = at.checked_sub(before).and_then(|at| inside.iter().rev().nth(at)) else { continue };
        let row = rows.entry(slice).or_default().entry(share.miner).or_default();
        row.0 = row.0.saturating_add(*work);
        row.1 = row.1.saturating_add(work.saturating_mul(share.fees().into()));
    }
    let mut sums = BTreeMap::new();
    for miners in rows.into_values() {
        let work: u128 = miners.values().map(|row| row.0).sum();
        let all: u128 = miners.values().map(|row| row.1).sum();
        for (miner, (own, part)) in miners {
            let whole = U256::from(work) << 32;
            let by_fees = (whole * U256::from(part)).checked_div(all.into());
            let score = by_fees.unwrap_or(U256::from(own) << 32);
            let sum: &mut u128 = sums.entry(miner).or_default();
            *sum = sum.saturating_add(u128::try_from(score).unwrap_or(u128::MAX));
        }
    }
    sums
}

impl LoggedShare {
    /// What of the reward is no subsidy.
    fn fees(&self) -> u64 {
        self.reward.saturating_sub(facts::subsidy(self.reward).0)
    }

    /// Its part of this much, 2^32 to the unit, rounded down.
    pub(crate) fn worth(&self, amount: u64) -> u128 {
        let product = (U256::from(self.work) * U256::from(amount)) << 32;
        let worth = product.checked_div(self.network.into()).unwrap_or_default();
        u128::try_from(worth).unwrap_or(u128::MAX)
    }

    /// 2^64 = one expected block, rounded down.
    pub fn units(&self) -> u128 {
        (u128::from(self.work) << 64).checked_div(self.network).unwrap_or(0)
    }
}
