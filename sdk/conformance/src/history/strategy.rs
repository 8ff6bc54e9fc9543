//! Histories at random, at four scales that the declared windows decide. By `prop_map` alone: what depends on what came
//! before (which income, how much work fits) is looked up when a history is run, so that shrinking may take any part away.

use super::{History, Shares, Step};
use millpond_contracts::payout::{Span, Terms};
use proptest::collection::vec;
use proptest::prelude::*;

/// Most rows that a history may need for the edge of a declared window.
pub(crate) const ROWS: u64 = 4_000;

/// Which scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scales {
    /// A few shares, a part of a window, and several windows.
    Common,
    /// Those, and the ends of the integers.
    All,
}

#[derive(Clone, Debug)]
struct Scale {
    /// In thousands: declared spans are in thousandths of it, and scaling must not round.
    network: u64,
    work: u64,
    times: u32,
    pace: u64,
    height: u64,
    pays: u64,
    steps: std::ops::RangeInclusive<usize>,
}

/// What it takes to see the far edge of each declared window: rows, milliseconds and heights; or why it cannot be seen.
pub(crate) struct Reach {
    /// Shares in three windows of the largest span.
    pub(crate) rows: u64,
    pace: u64,
    height: u64,
    /// The window that is too long.
    pub(crate) beyond: Option<String>,
}

impl Reach {
    pub(crate) fn of(terms: &Terms) -> Self {
        let mut reach = Self { rows: 48, pace: 1_000, height: 3, beyond: None };
        for (at, window) in terms.windows.iter().enumerate() {
            let rows = match window.span {
                Span::Round
                | Span::StandingRound
                | Span::Finder
                | Span::State
                | Span::Shifts(..)
                | Span::Unpaid(_) => 0,
                Span::Shares(count) => count.saturating_mul(3),
                // Shares of a sixteenth of the network's work on average.
                Span::Work(thousandths) | Span::Slices(thousandths, _) => {
                    thousandths.saturating_mul(48) / 1000
                }
                Span::Millis(millis) => {
                    reach.pace = reach.pace.max(millis / 40);
                    120
                }
                Span::Coord(steps) => {
                    reach.height = reach.height.max(steps);
                    48
                }
            };
            if rows > ROWS {
                reach.beyond =
                    Some(format!("window {at}, {:?}, has its edge {rows} shares away", window.span));
            }
            reach.rows = reach.rows.max(rows.min(ROWS));
        }
        reach
    }
}

/// Histories for a scheme of these terms.
pub(crate) fn histories(terms: &Terms, scales: Scales) -> BoxedStrategy<History> {
    let reach = Reach::of(terms);
    let accrues = terms.batch > 0;
    let few = |rows: u64| u32::try_from(rows.max(1)).unwrap_or(u32::MAX);
    let tiny = Scale { network: 1, work: 50, times: 1, pace: 1_000, height: 2, pays: 1_000, steps: 1..=8 };
    let short = Scale {
        network: 100,
        work: 10_000,
        times: few(reach.rows / 100),
        pace: reach.pace.div_ceil(30),
        height: reach.height.div_ceil(10),
        pays: 1 << 24,
        steps: 2..=14,
    };
    let long = Scale {
        network: 1_000,
        work: 125_000,
        times: few(reach.rows / 10),
        pace: reach.pace,
        height: reach.height,
        pays: 1 << 40,
        steps: 8..=28,
    };
    let common = prop_oneof![
        1 => of(&tiny, accrues),
        1 => of(&short, accrues),
        2 => of(&long, accrues),
    ];
    match scales {
        Scales::Common => common.boxed(),
        Scales::All => prop_oneof![4 => common, 1 => extreme(accrues)].boxed(),
    }
}

fn reserves(accrues: bool) -> BoxedStrategy<u64> {
    if accrues { prop_oneof![3 => Just(1 << 60), 1 => 0..=10_000_u64].boxed() } else { Just(0).boxed() }
}

fn of(scale: &Scale, accrues: bool) -> BoxedStrategy<History> {
    let Scale { network, work, times, pace, height, pays, steps } = scale.clone();
    let shares =
        (1..=7_u64, 1..=work, 1..=times).prop_map(|(miner, work, times)| Shares { miner, work, times });
    let networks = (network.div_ceil(4)..=network.saturating_mul(4)).prop_map(|by| u128::from(by) * 1_000);
    let minutes = i64::try_from(pace).unwrap_or(i64::MAX).saturating_mul(20);
    let step = prop_oneof![
        8 => vec(shares, 1..=3).prop_map(Step::Shares),
        5 => (0..=pays).prop_map(Step::Block),
        1 => Just(Step::Orphan),
        1 => (0..=pays).prop_map(Step::Empty),
        2 => (0..8_u32).prop_map(Step::Lost),
        1 => (0..8_u32).prop_map(Step::Again),
        2 => (1..4_u32).prop_map(Step::Mature),
        1 => networks.clone().prop_map(Step::Retarget),
        1 => (0..=pays).prop_map(Step::Reward),
        1 => (minutes.saturating_neg()..=minutes).prop_map(Step::Clock),
        1 => (1..=height).prop_map(Step::Height),
        1 => Just(Step::Restart),
        1 => Just(Step::Duplicate),
    ];
    (networks, 0..=pays, reserves(accrues), vec(step, steps))
        .prop_map(move |(network, reward, reserve, steps)| History { network, reward, pace, reserve, steps })
        .boxed()
}

/// The ends of the integers. Rewards of shares end where a scheme that credits them may still add up a few.
fn extreme(accrues: bool) -> BoxedStrategy<History> {
    let works = prop_oneof![Just(1), Just(u64::MAX), any::<u64>()];
    let shares = (prop_oneof![1..=3_u64, Just(u64::MAX)], works).prop_map(|(miner, work)| Shares {
        miner,
        work,
        times: 1,
    });
    let networks =
        prop_oneof![Just(1), Just(u128::from(u64::MAX)), Just(1 << 64), Just(u128::MAX), any::<u128>()];
    let pays = || prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()];
    let step = prop_oneof![
        6 => vec(shares, 1..=3).prop_map(Step::Shares),
        5 => pays().prop_map(Step::Block),
        1 => pays().prop_map(Step::Empty),
        1 => (0..4_u32).prop_map(Step::Lost),
        1 => (0..4_u32).prop_map(Step::Again),
        1 => (1..4_u32).prop_map(Step::Mature),
        1 => networks.clone().prop_map(Step::Retarget),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()].prop_map(Step::Clock),
        1 => prop_oneof![Just(u64::MAX), any::<u64>()].prop_map(Step::Height),
        1 => Just(Step::Duplicate),
    ];
    (networks, 0..=1_u64 << 40, reserves(accrues), vec(step, 1..=10))
        .prop_map(|(network, reward, reserve, steps)| History { network, reward, pace: 1, reserve, steps })
        .boxed()
}
