//! Windows that slide, held against their plain definition, share by share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use millpond_conformance::{LoggedShare, ShareLog};
use millpond_contracts::payout::{self as contract, Reversal, Terms};
use millpond_windows::{Edge, Measure, Row, Slices, Sliding, Span, Window, units};
use proptest::prelude::*;
use std::collections::BTreeMap;

const GREATEST: u128 = 4_000;

fn shares() -> impl Strategy<Value = Vec<LoggedShare>> {
    let share = (1..=5_u64, 0..40_u64, 1..=GREATEST, 0..4_u64, 0..2_u64, prop::bool::weighted(0.15));
    let steady = prop::option::of(1..=GREATEST);
    (steady, prop::collection::vec(share, 1..120)).prop_map(|(steady, rows)| {
        let (mut time_ms, mut coord) = (0, 0);
        let mut shares = Vec::new();
        for (miner, work, network, later, higher, block) in rows {
            (time_ms, coord) = (time_ms + later, coord + higher);
            let network = steady.unwrap_or(network);
            shares.push(LoggedShare { miner, work, network, time_ms, coord, reward: 1, block });
        }
        shares
    })
}

fn spans() -> impl Strategy<Value = (Span, contract::Span)> {
    let n = prop_oneof![0..20_u64, 0..3_000_u64];
    prop_oneof![
        Just((Span::Round, contract::Span::Round)),
        Just((Span::Finder, contract::Span::Finder)),
        Just((Span::State, contract::Span::State)),
        n.clone().prop_map(|n| (Span::Shares(n), contract::Span::Shares(n))),
        n.clone().prop_map(|n| (Span::Work(n), contract::Span::Work(n))),
        n.clone().prop_map(|n| (Span::Millis(n), contract::Span::Millis(n))),
        n.prop_map(|n| (Span::Coord(n), contract::Span::Coord(n))),
    ]
}

fn measures() -> impl Strategy<Value = (Measure, contract::Measure)> {
    prop_oneof![
        Just((Measure::Work, contract::Measure::Work)),
        Just((Measure::Units, contract::Measure::Units)),
        Just((Measure::Count, contract::Measure::Count))
    ]
}

fn edges() -> impl Strategy<Value = (Edge, contract::Edge)> {
    prop_oneof![
        Just((Edge::Whole, contract::Edge::Whole)),
        Just((Edge::Split, contract::Edge::Split)),
        Just((Edge::Cut, contract::Edge::Cut))
    ]
}

/// The sums at each block: sliding, and by the definition.
type Sums = Vec<[Vec<(u64, u128)>; 2]>;

fn both(shares: &[LoggedShare], window: Window, declared: contract::Window) -> Sums {
    let terms = Terms {
        windows: vec![declared],
        cells: 0,
        batch: 0,
        reversal: Reversal::Drop,
        reserve: false,
        claims: Vec::new(),
        state_format: String::new(),
        ..Terms::default()
    };
    let log = ShareLog(shares.to_vec());
    let mut sliding = Sliding::new(window, GREATEST).unwrap();
    let (mut before, mut all, mut rows) = (None, Vec::new(), Vec::new());
    for (at, share) in shares.iter().enumerate() {
        let (miner, work) = (u32::try_from(share.miner).unwrap(), share.work);
        let units = units(work, share.network);
        sliding.push(&Row { miner, work, units, time_ms: share.time_ms, coord: share.coord }).unwrap();
        if share.block {
            sliding.sums(share.network, Some(miner), &mut rows).unwrap();
            let slid = rows.iter().map(|(miner, sum)| (u64::from(*miner), *sum)).collect();
            let plain = log.windows(&terms, at, before).remove(0).into_iter().collect();
            all.push([slid, plain]);
            sliding.end_round();
            before = Some(at);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_window_that_slides_is_the_window_that_is_defined(
        shares in shares(), span in spans(), measure in measures(), edge in edges(),
    ) {
        let window = Window { span: span.0, measure: measure.0, edge: edge.0 };
        prop_assume!(window.is_computed());
        let declared = contract::Window { span: span.1, measure: measure.1, edge: edge.1 };
        for [slid, plain] in both(&shares, window, declared) {
            prop_assert_eq!(slid, plain);
        }
    }
}

/// Shares whose jobs have fees of their own: a tenth of the reward, as the kit has it.
fn with_fees() -> impl Strategy<Value = Vec<LoggedShare>> {
    (shares(), prop::collection::vec(0..30_u64, 120)).prop_map(|(shares, fees)| {
        let of = |(share, fees): (LoggedShare, u64)| LoggedShare { reward: fees * 10, ..share };
        shares.into_iter().zip(fees).map(of).collect()
    })
}

/// What the shares up to the last one weigh in slices: what counts of each newest first, then slice by slice.
fn sliced(shares: &[LoggedShare], thousandths: u64, step: u64, edge: Edge) -> BTreeMap<u64, u128> {
    let mut room = Measure::Work.sum(thousandths, shares.last().unwrap().network).unwrap();
    let mut counts = vec![0; shares.len()];
    for (at, share) in shares.iter().enumerate().rev() {
        let work = u128::from(share.work);
        if room == 0 {
            break;
        }
        counts[at] = if work < room { work } else { edge.counts(work, room) };
        room = room.saturating_sub(work);
    }
    let (mut slices, mut sums) = (Slices::new(step), BTreeMap::<u64, u128>::new());
    let mut take = |slices: &mut Slices<u64>| {
        slices.end().unwrap().into_iter().for_each(|(miner, score)| *sums.entry(miner).or_default() += score);
    };
    for (share, counts) in shares.iter().zip(counts) {
        let fees = share.reward / 10;
        if slices.ends(share.coord, fees) {
            take(&mut slices);
        }
        slices.push(share.miner, share.coord, fees, u64::try_from(counts).unwrap()).unwrap();
    }
    take(&mut slices);
    sums.retain(|_, score| *score > 0);
    sums
}

fn declared(thousandths: u64, step: u64, edge: contract::Edge) -> Terms {
    let window = contract::Window {
        span: contract::Span::Slices(thousandths, step),
        measure: contract::Measure::FeeValue,
        edge,
    };
    Terms { windows: vec![window], ..Terms::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn slices_are_those_that_are_defined(
        shares in with_fees(), thousandths in 0..5_000_u64, step in 0..12_u64, edge in edges(),
    ) {
        let plain = ShareLog(shares.clone()).windows(&declared(thousandths, step, edge.1), shares.len() - 1, None);
        prop_assert_eq!(&sliced(&shares, thousandths, step, edge.0), &plain[0]);
    }
}

/// And it sees a step that is one unit off, and a slice that goes on over a height.
#[test]
fn slices_that_end_elsewhere_are_others() {
    let share = |at: u64| LoggedShare {
        miner: at % 3 + 1,
        work: 7,
        network: 70,
        time_ms: at,
        coord: at / 6,
        reward: 100 + at * 10,
        block: false,
    };
    let shares: Vec<_> = (0..24).map(share).collect();
    let plain = |step| {
        ShareLog(shares.clone()).windows(&declared(1_500, step, contract::Edge::Split), 23, None).remove(0)
    };
    assert_eq!(sliced(&shares, 1_500, 4, Edge::Split), plain(4));
    assert_ne!(sliced(&shares, 1_500, 4, Edge::Split), plain(3));
    let one_height: Vec<_> = shares.iter().map(|share| LoggedShare { coord: 0, ..*share }).collect();
    assert_ne!(sliced(&one_height, 1_500, 4, Edge::Split), plain(4));
}

/// The comparison sees a window that is one share, one step or one thousandth off.
#[test]
fn a_window_that_is_a_little_longer_is_another() {
    let share = |at: u64| LoggedShare {
        miner: at % 3 + 1,
        work: 7,
        network: 700,
        time_ms: at,
        coord: at,
        reward: 1,
        block: at % 10 == 9,
    };
    let shares: Vec<_> = (0..60).map(share).collect();
    type Both = (fn(u64) -> Span, fn(u64) -> contract::Span);
    let pairs: [Both; 4] = [
        (Span::Shares, contract::Span::Shares),
        (Span::Work, contract::Span::Work),
        (Span::Millis, contract::Span::Millis),
        (Span::Coord, contract::Span::Coord),
    ];
    for (span, declared) in pairs {
        let differ = |n: u64| {
            let window = Window { span: span(n), measure: Measure::Work, edge: Edge::Split };
            let (measure, edge) = (contract::Measure::Work, contract::Edge::Split);
            let declared = contract::Window { span: declared(22), measure, edge };
            both(&shares, window, declared).iter().any(|[slid, plain]| slid != plain)
        };
        // 22 thousandths of 700 are 15.4 and so 15, 24 are 16.
        assert!(!differ(22) && differ(24), "{:?}", span(22));
    }
}
