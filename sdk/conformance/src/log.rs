//! A share log, and what a window sums of it: the plain definition, share by share.

use millpond_contracts::payout::{Edge, Measure, Span, Terms, Window};
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
            // Terms with these are refused where a scheme is bound.
            Measure::Count | Measure::Value | Measure::SubsidyValue | Measure::FeeValue => 0,
        };
        let mut add = |share: &LoggedShare, sum: u128| {
            let total = sums.entry(share.miner).or_insert(0_u128);
            *total = total.saturating_add(sum);
        };
        match window.span {
            Span::Finder => add(last, 1),
            Span::State | Span::StandingRound | Span::Shifts(..) | Span::Unpaid(_) | Span::Slices(..) => {}
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
            Span::Work(thousandths) => {
                let full = match window.measure {
                    Measure::Work => last.network.saturating_mul(thousandths.into()) / 1000,
                    _ => (u128::from(thousandths) << 64) / 1000,
                };
                let mut left = full;
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
            }
        }
        sums.retain(|_, sum| *sum > 0);
        sums
    }
}

impl LoggedShare {
    /// 2^64 = one expected block, rounded down.
    pub fn units(&self) -> u128 {
        (u128::from(self.work) << 64).checked_div(self.network).unwrap_or(0)
    }
}
