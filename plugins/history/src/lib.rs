//! For tests of payout schemes alone: what a scheme's page in `docs/schemes` says is what the scheme does.
//!
//! [`SHARES`] is one short history, three miners and five blocks, that every page works out by hand; [`pays`] runs a
//! scheme over it and [`Page`] compares. [`windows`] sums what the host would hand in, share by share, by the text of
//! `wit/payout-0.1` and not by the host's code. [`properties`] holds any scheme to conservation, renaming, splitting
//! and scaling.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "for tests alone: what is wrong with a page or a scheme fails the test that asked"
)]

mod page;
pub mod properties;
pub mod second;

pub use page::Page;

use millpond_sdk::payout::{Edge, Income, Measure, Scheme, Settings, Span, State, Totals, Window};
use std::collections::BTreeMap;

/// A share of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Hours since the pool began.
    pub hour: u64,
    /// 1 is A, 2 is B, 3 is C.
    pub miner: u64,
    /// Its work.
    pub work: u64,
    /// The network's work per block when it was submitted.
    pub network: u64,
    /// Whether it found a block.
    pub block: bool,
}

const fn share(hour: u64, miner: u64, work: u64, network: u64) -> Share {
    Share { hour, miner, work, network, block: false }
}

const fn block(hour: u64, miner: u64, work: u64, network: u64) -> Share {
    Share { hour, miner, work, network, block: true }
}

/// What every block of the history earns.
pub const INCOME: u64 = 1000;

const A: u64 = 1;
const B: u64 = 2;
const C: u64 = 3;

/// Three miners, five blocks, and a retarget from 100 to 40 after the ninth share. Every share is a whole number of
/// quarters of a block, so that 64-bit units are exact.
pub const SHARES: [Share; 13] = [
    share(0, A, 50, 100),
    share(2, B, 100, 100),
    block(5, C, 50, 100),
    block(9, A, 50, 100),
    share(12, B, 150, 100),
    share(20, A, 50, 100),
    block(26, C, 100, 100),
    share(30, A, 50, 100),
    share(34, B, 50, 100),
    share(41, C, 10, 40),
    block(50, A, 40, 40),
    share(53, C, 10, 40),
    block(57, B, 20, 40),
];

/// What a block's income came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// What was divided: the income and what was carried to it.
    pub gross: u64,
    /// Of A, B and C.
    pub amounts: [u64; 3],
    /// What nobody got; it is carried to the next income.
    pub rest: u64,
}

/// Runs a scheme without state over the history.
pub fn pays<S: Scheme>(settings: &Settings) -> Vec<Paid> {
    let terms = S::describe(settings.clone()).unwrap();
    assert_eq!((terms.cells, terms.batch), (0, 0), "a scheme with state is run by its own test");
    let (mut paid, mut round, mut carried) = (Vec::new(), 0, 0);
    for (end, share) in SHARES.iter().enumerate().filter(|(_, share)| share.block) {
        let gross = INCOME + carried;
        let number = paid.len() as u64 + 1;
        let income = Income {
            key: vec![number as u8],
            gross,
            seq: number,
            time_ms: share.hour * 3_600_000,
            coord: number,
            finder: Some(share.miner),
        };
        let sums = windows(&terms.windows, &SHARES, end, round);
        let given = S::allocate(settings.clone(), income, sums, State::unchanged()).unwrap();
        let mut amounts = [0; 3];
        for (miner, amount) in given.miner.iter().zip(&given.amount) {
            amounts[*miner as usize - 1] = *amount;
        }
        paid.push(Paid { gross, amounts, rest: given.rest });
        (round, carried) = (end + 1, given.rest);
    }
    paid
}

/// The windows that end at share `end`, with the round that begins at share `round`.
pub fn windows(wanted: &[Window], shares: &[Share], end: usize, round: usize) -> Vec<Totals> {
    wanted.iter().map(|window| totals(&window_of(*window, shares, end, round))).collect()
}

/// Columns of these sums by miner.
pub fn totals(sums: &BTreeMap<u64, u128>) -> Totals {
    Totals {
        miner: sums.keys().copied().collect(),
        low: sums.values().map(|sum| *sum as u64).collect(),
        high: sums.values().map(|sum| (sum >> 64) as u64).collect(),
    }
}

fn window_of(window: Window, shares: &[Share], end: usize, round: usize) -> BTreeMap<u64, u128> {
    let last = &shares[end];
    let weight = |share: &Share| match window.measure {
        Measure::Work => u128::from(share.work),
        Measure::Units => (u128::from(share.work) << 64) / u128::from(share.network),
    };
    // Newest first: (share, what of it counts).
    let newest = shares[..=end].iter().rev();
    let counted: Vec<(&Share, u128)> = match window.span {
        Span::Finder => vec![(last, 1)],
        Span::State => Vec::new(),
        Span::Round => shares[round..=end].iter().map(|share| (share, weight(share))).collect(),
        Span::Shares(count) => newest.take(count as usize).map(|share| (share, weight(share))).collect(),
        Span::Millis(millis) => newest
            .filter(|share| (last.hour - share.hour) * 3_600_000 < millis)
            .map(|share| (share, weight(share)))
            .collect(),
        Span::Coord(_) => panic!("the history has no coordinates"),
        Span::Work(thousandths) => {
            let one = match window.measure {
                Measure::Work => u128::from(last.network),
                Measure::Units => 1 << 64,
            };
            let mut room = one * u128::from(thousandths) / 1000;
            let mut inside = Vec::new();
            for share in newest {
                let whole = weight(share);
                if whole < room {
                    inside.push((share, whole));
                    room -= whole;
                    continue;
                }
                match window.edge {
                    Edge::Whole => inside.push((share, whole)),
                    Edge::Split => inside.push((share, room)),
                    Edge::Cut if whole == room => inside.push((share, whole)),
                    Edge::Cut => {}
                }
                break;
            }
            inside
        }
    };
    let mut sums = BTreeMap::new();
    for (share, weight) in counted.into_iter().filter(|(_, weight)| *weight > 0) {
        *sums.entry(share.miner).or_default() += weight;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_of_the_history_is_exact_in_units_and_the_clock_runs_forwards() {
        for share in SHARES {
            assert_eq!(share.work * 4 % share.network, 0, "{share:?}");
        }
        assert!(SHARES.is_sorted_by(|one, two| one.hour < two.hour));
        assert_eq!(SHARES.iter().filter(|share| share.block).count(), 5);
    }

    #[test]
    fn the_share_on_the_edge_counts_as_the_window_says() {
        // At the third block: 100 and 50 are inside of 200, the third share has 150 and 50 of them fit.
        let of = |edge, thousandths| {
            let window = Window { span: Span::Work(thousandths), measure: Measure::Work, edge };
            window_of(window, &SHARES, 6, 4).into_values().collect::<Vec<_>>()
        };
        assert_eq!(of(Edge::Split, 2000), [50, 50, 100]);
        assert_eq!(of(Edge::Whole, 2000), [50, 150, 100]);
        assert_eq!(of(Edge::Cut, 2000), [50, 100]);
        // It ends with the window: inside by every rule.
        for edge in [Edge::Split, Edge::Whole, Edge::Cut] {
            assert_eq!(of(edge, 3000), [50, 150, 100], "{edge:?}");
        }
    }
}
