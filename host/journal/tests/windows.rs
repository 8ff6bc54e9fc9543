//! Windows computed from footers and edges are what a scan of every share gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_journal::*;
use millpond_types::{Amount, JobId, MinerId, ShareSeq, UnixMillis, Work};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What was not subsidy of a share's job.
fn fees(share: &Share) -> u128 {
    share.subsidy.map_or(0, |subsidy| u128::from(share.reward.0 - subsidy.0))
}

/// The definition, written down a second time: every share, newest first, without segments.
fn naive(shares: &[Share], window: &Window, end: &WindowEnd) -> Counted {
    clipped(shares, window, end, 0)
}

/// The same, of the shares behind one.
fn clipped(shares: &[Share], window: &Window, end: &WindowEnd, floor: u64) -> Counted {
    let mut sums: BTreeMap<MinerId, u128> = BTreeMap::new();
    let slices = matches!(window.span, Span::Slices(..));
    let weigh = |share: &Share| {
        let (work, reward) = (u128::from(share.work.0), u128::from(share.reward.0));
        match window.measure {
            Measure::Work => work,
            Measure::Units => (work << 64) / share.network_work,
            Measure::Count => 1,
            Measure::Value => ((work * reward) << 32) / share.network_work,
            Measure::SubsidyValue => ((work * (reward - fees(share))) << 32) / share.network_work,
            Measure::FeeValue if slices => work,
            Measure::FeeValue => ((work * fees(share)) << 32) / share.network_work,
        }
    };
    let mut room = match (window.span, window.measure) {
        (Span::Work(n), Measure::Work) => end.network_work * u128::from(n) / 1000,
        (Span::Slices(n, _), _) => end.network_work * u128::from(n) / 1000,
        (Span::Work(n), Measure::Units) => (u128::from(n) << 64) / 1000,
        _ => u128::MAX,
    };
    let mut counts = vec![0; end.seq.0 as usize];
    let mut first = ShareSeq(end.seq.0 + 1);
    for seq in (floor + 1..=end.seq.0).rev() {
        let share = &shares[seq as usize - 1];
        let inside = match window.span {
            Span::Round => seq > end.round_after.0,
            Span::Shares(n) => end.seq.0 - seq < n,
            Span::Millis(n) => share.time.0 + n > end.time.0,
            Span::Coord(n) => share.coord + n > end.coord,
            Span::Work(_) | Span::Slices(..) => room > 0,
            // Not by shares alone: see `once.rs`.
            Span::Finder | Span::State | Span::Unpaid(_) => false,
        };
        if !inside {
            continue;
        }
        let value = weigh(share);
        let counted = match window.edge {
            _ if value <= room => value,
            Edge::Whole => value,
            Edge::Split => room,
            Edge::Cut => 0,
        };
        if window.edge != Edge::Cut || value <= room {
            first = ShareSeq(seq);
        }
        *sums.entry(share.miner).or_default() += counted;
        counts[seq as usize - 1] = counted;
        room = room.saturating_sub(value);
    }
    if let (Span::Slices(_, step), Measure::FeeValue) = (window.span, window.measure) {
        let floor = counts.len().min(floor as usize);
        sums = by_slices(&shares[floor..], step, &counts[floor..]);
    }
    let rows = sums.into_iter().filter(|(_, sum)| *sum > 0).collect();
    Counted { rows, first }
}

/// What of the work of shares counts in their slices, by the fees of their jobs: each slice by itself, over all shares.
fn by_slices(shares: &[Share], step: u64, counts: &[u128]) -> BTreeMap<MinerId, u128> {
    let mut slices: Vec<Vec<usize>> = Vec::new();
    for at in 0..counts.len() {
        let begins = at == 0 || shares[at].coord != shares[at - 1].coord || {
            let first = slices.last().unwrap()[0];
            step > 0 && fees(&shares[at]) >= fees(&shares[first]) + u128::from(step)
        };
        if begins {
            slices.push(Vec::new());
        }
        slices.last_mut().unwrap().push(at);
    }
    let mut sums = BTreeMap::new();
    for slice in slices {
        let work: u128 = slice.iter().map(|at| counts[*at]).sum();
        let all: u128 = slice.iter().map(|at| counts[*at] * fees(&shares[*at])).sum();
        let mut miners: BTreeMap<MinerId, [u128; 2]> = BTreeMap::new();
        for at in slice {
            let miner = miners.entry(shares[at].miner).or_default();
            miner[0] += counts[at];
            miner[1] += counts[at] * fees(&shares[at]);
        }
        for (miner, [own, part]) in miners {
            let score = ((work << 32) * part).checked_div(all).unwrap_or(own << 32);
            *sums.entry(miner).or_default() += score;
        }
    }
    sums
}

fn any_span() -> impl Strategy<Value = Span> {
    prop_oneof![
        Just(Span::Round),
        (0_u64..700).prop_map(Span::Shares),
        (0_u64..6000).prop_map(Span::Work),
        (0_u64..9000).prop_map(Span::Millis),
        (0_u64..14).prop_map(Span::Coord),
        (0_u64..6000, 0_u64..12).prop_map(|(thousandths, step)| Span::Slices(thousandths, step)),
    ]
}

fn any_window() -> impl Strategy<Value = Window> {
    let measures = [
        Measure::Work,
        Measure::Units,
        Measure::Count,
        Measure::Value,
        Measure::SubsidyValue,
        Measure::FeeValue,
    ];
    let edge = prop_oneof![Just(Edge::Whole), Just(Edge::Split), Just(Edge::Cut)];
    let window = (any_span(), prop::sample::select(measures.to_vec()), edge);
    window
        .prop_map(|(span, measure, edge)| Window { span, measure, edge })
        .prop_filter("computed", Window::is_computed)
}

/// How far apart marks are, before a restart and after it: at every group, now and then, and not at all, as in journals of
/// before there were marks.
fn any_marks() -> impl Strategy<Value = [u64; 2]> {
    let marks = || prop::sample::select(vec![1, 600, u64::MAX]);
    [marks(), marks()]
}

fn marked(disk: &SimDisk, mark_bytes: u64) -> Journal {
    let options = Options { mark_bytes, ..options() };
    Journal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap().0
}

fn record(journal: &Journal, shares: &[Share]) {
    for group in shares.chunks(9) {
        let commits: Vec<_> = group.iter().map(|share| journal.share(*share)).collect();
        for commit in commits {
            commit.wait().unwrap();
        }
    }
}

/// Shares whose clock and coordinates go back now and then.
fn any_shares() -> impl Strategy<Value = Vec<Share>> {
    // Numbers from 2^22 on have no place of their own in a window's sums.
    let miner = prop_oneof![9 => 0_u64..5, 1 => prop::sample::select(vec![1 << 22, u64::MAX])];
    let subsidy = prop::option::weighted(0.8, 10_u64..51);
    let one = (miner, 0_u64..40, 1_u128..900, -3_i64..20, -1_i64..3, subsidy);
    prop::collection::vec(one, 1..600).prop_map(|rows| {
        let (mut time, mut coord) = (1_000_000_i64, 500_i64);
        let rows = rows.into_iter().enumerate();
        rows.map(|(index, (miner, work, network_work, later, further, subsidy))| {
            time += later;
            coord += i64::from(index % 40 == 0) * further;
            Share {
                miner: MinerId(miner),
                worker: WorkerId(miner),
                job: JobId(index as u64 / 20),
                coord: coord as u64,
                network_work,
                reward: Amount(50),
                subsidy: subsidy.map(Amount),
                work: Work(work),
                time: UnixMillis(time as u64),
                id: [index as u8; 32],
            }
        })
        .collect()
    })
}

/// The first share that a window's sums depend on: where the coordinate of the first that counts began, in slices that fees
/// end.
fn begins(shares: &[Share], window: &Window, first: ShareSeq) -> ShareSeq {
    let mut at = first.0;
    if let (Span::Slices(_, 1..), Measure::FeeValue) = (window.span, window.measure)
        && at <= shares.len() as u64
    {
        while at > 1 && shares[at as usize - 2].coord == shares[at as usize - 1].coord {
            at -= 1;
        }
    }
    ShareSeq(at)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn footers_and_edges_give_what_a_scan_of_all_shares_gives(
        shares in any_shares(),
        windows in prop::collection::vec((any_window(), any::<prop::sample::Index>(), 0_u64..600, 0_u64..50), 1..12),
        restart: bool,
        marks in any_marks(),
    ) {
        let disk = SimDisk::new();
        let mut journal = marked(&disk, marks[0]);
        let (before, after) = shares.split_at(if restart { shares.len() / 2 } else { shares.len() });
        record(&journal, before);
        if restart {
            drop(journal);
            journal = marked(&disk, marks[1]);
            record(&journal, after);
        }
        // As a command beside the pool sees it.
        let (beside, _) = JournalView::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
        let view = journal.view();
        let keeping = view.keeping();
        for (window, end, round_after, jitter) in windows {
            let seq = end.index(shares.len()) as u64 + 1;
            let last = &shares[seq as usize - 1];
            let end = WindowEnd {
                seq: ShareSeq(seq),
                time: UnixMillis(last.time.0 + jitter),
                coord: last.coord,
                network_work: last.network_work,
                round_after: ShareSeq(round_after.min(seq)),
            };
            let expected = naive(&shares, &window, &end);
            let counted = view.counted(&window, &end, None).unwrap();
            prop_assert_eq!(&counted, &expected, "{:?} {:?}", window, end);
            prop_assert_eq!(&beside.counted(&window, &end, None).unwrap(), &expected, "{:?} {:?}", window, end);
            let kept = keeping.counted(&window, &end, None).unwrap();
            prop_assert_eq!(&kept, &expected, "of segments that are kept: {:?} {:?}", window, end);
            // Nothing before what retention is told to keep is read.
            let needed = view.needed_from(&window, &end, 1);
            let begins = begins(&shares, &window, counted.first);
            prop_assert!(counted.first > end.seq || needed <= begins, "{:?} {:?}", window, end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// What one scheme is shown of a window on both sides of a boundary: nothing up to a floor, and all behind the boundary as
    /// one miner's.
    #[test]
    fn a_clip_gives_what_a_scan_of_the_shares_that_it_leaves_gives(
        shares in any_shares(),
        windows in prop::collection::vec(
            (any_window(), any::<prop::sample::Index>(), 0_u64..600, [0_u64..610, 0_u64..610]), 1..8
        ),
        restart: bool,
        marks in any_marks(),
    ) {
        let disk = SimDisk::new();
        let mut journal = marked(&disk, marks[0]);
        let (before, after) = shares.split_at(if restart { shares.len() / 2 } else { shares.len() });
        record(&journal, before);
        if restart {
            drop(journal);
            journal = marked(&disk, marks[1]);
            record(&journal, after);
        }
        let view = journal.view();
        let keeping = view.keeping();
        for (window, end, round_after, [floor, after]) in windows {
            let seq = end.index(shares.len()) as u64 + 1;
            let last = &shares[seq as usize - 1];
            let end = WindowEnd {
                seq: ShareSeq(seq),
                time: last.time,
                coord: last.coord,
                network_work: last.network_work,
                round_after: ShareSeq(round_after.min(seq)),
            };
            let clip = |others| Clip { floor: ShareSeq(floor), others };
            let by = |others| view.clipped(&window, &end, None, &clip(others));
            prop_assert_eq!(by(None).unwrap(), clipped(&shares, &window, &end, floor), "{:?} {:?}", window, end);
            let kept = keeping.clipped(&window, &end, None, &clip(Some(ShareSeq(after)))).unwrap();
            prop_assert_eq!(kept, by(Some(ShareSeq(after))).unwrap(), "{:?} {:?}", window, end);
            let mut renamed = shares.clone();
            let behind = renamed.iter_mut().skip(after as usize);
            behind.for_each(|share| share.miner = OTHERS);
            let expected = clipped(&renamed, &window, &end, floor);
            prop_assert_eq!(by(Some(ShareSeq(after))).unwrap(), expected, "{:?} {:?}", window, end);
        }
    }
}

#[test]
fn shares_up_to_the_floor_may_be_dropped_and_others_may_not() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    for miner in 1..=4 {
        journal.share(Share { miner: MinerId(miner), coord: 7, ..share(1) }).wait().unwrap();
        journal.roll().wait().unwrap();
    }
    journal.drop_before(ShareSeq(3)).unwrap();
    let end = WindowEnd { seq: ShareSeq(4), network_work: 100, coord: 7, ..WindowEnd::default() };
    let spans =
        [Span::Round, Span::Shares(9), Span::Work(9_000_000), Span::Coord(9), Span::Slices(9_000_000, 5)];
    for span in spans {
        let measure = if matches!(span, Span::Slices(..)) { Measure::FeeValue } else { Measure::Work };
        let window = Window { span, measure, edge: Edge::Split };
        let by = |floor| {
            let clip = Clip { floor: ShareSeq(floor), others: Some(ShareSeq(3)) };
            journal.view().clipped(&window, &end, None, &clip)
        };
        assert!(matches!(by(1).unwrap_err(), JournalError::Dropped { .. }), "{span:?}");
        let counted = by(2).unwrap();
        assert_eq!(counted.first, ShareSeq(3), "{span:?}");
        let miners: Vec<_> = counted.rows.into_iter().map(|row| row.0).collect();
        assert_eq!(miners, [MinerId(3), OTHERS], "{span:?}");
    }
}

/// A walk that forgets where the first slice begins, or takes fees for work, is another window.
#[test]
fn slices_are_those_of_all_shares_and_not_of_the_window_alone() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    // Fees 10, 14, 16, 19: by a step of 5 the third begins a slice; counted from the second on the fourth would.
    for (miner, fees) in [(1, 10), (2, 14), (3, 16), (4, 19)] {
        let job = Share { subsidy: Some(Amount(50 - fees)), coord: 7, network_work: 100, ..share(1) };
        journal.share(Share { miner: MinerId(miner), work: Work(20), ..job }).wait().unwrap();
        journal.roll().wait().unwrap();
    }
    let end = WindowEnd { seq: ShareSeq(4), network_work: 100, coord: 7, ..WindowEnd::default() };
    let of = |span, measure| {
        let window = Window { span, measure, edge: Edge::Split };
        let rows = journal.view().window(&window, &end, None).unwrap();
        rows.into_iter().map(|(miner, sum)| (miner.0, sum)).collect::<Vec<_>>()
    };
    // 60 of work, of which 40 stand in the slice of the third and fourth: by 16 and 19 of fees.
    let one = 1_u128 << 32;
    let expected = [(2, 20 * one), (3, (40 * one) * 16 / 35), (4, (40 * one) * 19 / 35)];
    assert_eq!(of(Span::Slices(600, 5), Measure::FeeValue), expected);
    assert_ne!(of(Span::Slices(600, 0), Measure::FeeValue), expected);
    assert_eq!(of(Span::Slices(600, 5), Measure::Work), of(Span::Work(600), Measure::Work));
    // Of a half of the second only its half counts, in its slice too.
    assert_eq!(of(Span::Slices(500, 5), Measure::FeeValue)[0], (2, 10 * one));
    // What none can be long by is refused.
    let window = Window { span: Span::Work(600), measure: Measure::Value, edge: Edge::Split };
    let error = journal.view().window(&window, &end, None).unwrap_err();
    assert!(matches!(error, JournalError::NoSuchWindow));
    // With the first share the beginning of the slice is gone.
    journal.drop_before(ShareSeq(2)).unwrap();
    let window = Window { span: Span::Slices(600, 5), measure: Measure::FeeValue, edge: Edge::Split };
    let error = journal.view().window(&window, &end, None).unwrap_err();
    assert!(matches!(error, JournalError::Dropped { .. }), "{error}");
    assert_eq!(of(Span::Slices(600, 0), Measure::FeeValue).len(), 3);
}

#[test]
fn the_edge_share_is_kept_divided_or_dropped_also_where_a_segment_ends_on_the_edge() {
    for sealed in [false, true] {
        let disk = SimDisk::new();
        let (journal, _) = open(&disk);
        for (miner, work) in [(1, 60), (2, 50), (3, 40)] {
            let share = Share { miner: MinerId(miner), work: Work(work), network_work: 100, ..share(1) };
            journal.share(share).wait().unwrap();
            if sealed && miner != 2 {
                journal.roll().wait().unwrap();
            }
        }
        let end = WindowEnd { seq: ShareSeq(3), network_work: 100, ..WindowEnd::default() };
        let pay = |edge, thousandths| {
            let window = Window { span: Span::Work(thousandths), measure: Measure::Work, edge };
            let rows = journal.view().window(&window, &end, None).unwrap();
            rows.into_iter().map(|(miner, work)| (miner.0, work)).collect::<Vec<_>>()
        };
        // One network difficulty of 100 back from the newest: 40, 50, and 10 of the last 60.
        assert_eq!(pay(Edge::Whole, 1000), [(1, 60), (2, 50), (3, 40)]);
        assert_eq!(pay(Edge::Split, 1000), [(1, 10), (2, 50), (3, 40)]);
        assert_eq!(pay(Edge::Cut, 1000), [(2, 50), (3, 40)]);
        // A window that ends on a share's edge has no edge share, and one that is not full has all there is.
        for edge in [Edge::Whole, Edge::Split, Edge::Cut] {
            assert_eq!(pay(edge, 900), [(2, 50), (3, 40)]);
            assert_eq!(pay(edge, 9000), [(1, 60), (2, 50), (3, 40)]);
            assert_eq!(pay(edge, 0), []);
        }
    }
}

#[test]
fn units_are_fixed_at_submission_and_do_not_change_with_the_network() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    for network_work in [100, 200, 400] {
        let miner = MinerId(network_work as u64);
        journal.share(Share { miner, work: Work(50), network_work, ..share(1) }).wait().unwrap();
    }
    let end = WindowEnd { seq: ShareSeq(3), network_work: 1, ..WindowEnd::default() };
    let window = Window { span: Span::Shares(3), measure: Measure::Units, edge: Edge::Whole };
    let rows = journal.view().window(&window, &end, None).unwrap();
    assert_eq!(rows, [(MinerId(100), 1 << 63), (MinerId(200), 1 << 62), (MinerId(400), 1 << 61)]);
}

#[test]
fn finder_and_state_windows_read_no_shares() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    let window = |span| Window { span, measure: Measure::Work, edge: Edge::Whole };
    let end = WindowEnd::default();
    let view = journal.view();
    assert_eq!(view.window(&window(Span::Finder), &end, Some(MinerId(4))).unwrap(), [(MinerId(4), 1)]);
    assert_eq!(view.window(&window(Span::Finder), &end, None).unwrap(), []);
    assert_eq!(view.window(&window(Span::State), &end, Some(MinerId(4))).unwrap(), []);
    // Incomes before the first share have empty windows, not errors.
    for span in [Span::Round, Span::Shares(5), Span::Work(5000), Span::Millis(5), Span::Coord(5)] {
        assert_eq!(view.window(&window(span), &end, None).unwrap(), []);
    }
    let ahead = WindowEnd { seq: ShareSeq(1), ..end };
    let error = view.window(&window(Span::Round), &ahead, None).unwrap_err();
    assert!(matches!(error, JournalError::Ahead { .. }));
}

#[test]
fn a_sum_that_does_not_fit_is_an_error_and_not_a_smaller_sum() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    for _ in 0..2 {
        journal.share(Share { work: Work(u64::MAX), network_work: 0, ..share(1) }).wait().unwrap();
    }
    let end = WindowEnd { seq: ShareSeq(2), ..WindowEnd::default() };
    let window = Window { span: Span::Round, measure: Measure::Units, edge: Edge::Whole };
    assert!(matches!(journal.view().window(&window, &end, None), Err(JournalError::Overflow)));
    journal.roll().wait().unwrap();
    assert!(matches!(journal.view().window(&window, &end, None), Err(JournalError::Overflow)));
}

#[test]
fn a_window_over_many_segments_reads_footers_and_a_part_of_two_segments_at_its_edges() {
    let disk = Arc::new(CountingDisk::new(SimDisk::new()));
    let options = Options { segment_bytes: 20_000, mark_bytes: 2_000, ..options() };
    let (journal, _) = Journal::open(disk.clone(), Path::new(DIR), options).unwrap();
    fill(&journal, 1, 9_000);
    let view = journal.view();
    let segments: Vec<_> = view.log().segments().cloned().collect();
    assert!(segments.len() > 10);
    for (newest, spans) in [
        (
            9_000,
            [Span::Round, Span::Shares(7_500), Span::Work(45_000), Span::Millis(75_000), Span::Coord(120)],
        ),
        (
            7_777,
            [Span::Round, Span::Shares(6_400), Span::Work(38_000), Span::Millis(64_000), Span::Coord(100)],
        ),
    ] {
        let last = share(newest);
        let end = WindowEnd {
            seq: ShareSeq(newest),
            time: last.time,
            coord: last.coord,
            network_work: last.network_work,
            round_after: ShareSeq(1_333),
        };
        for span in spans {
            disk.read.lock().clear();
            let window = Window { span, measure: Measure::Work, edge: Edge::Split };
            let rows = view.window(&window, &end, None).unwrap();
            assert_eq!(rows.len(), 7, "{span:?}");
            let read = disk.read.lock().clone();
            let of = |segment: &millpond_segments::SegmentInfo| {
                read.get(&Path::new(DIR).join(segment.name())).copied().unwrap_or(0)
            };
            // Footers and heads take less than a tenth.
            let edges: Vec<_> = segments.iter().filter(|segment| of(segment) > segment.bytes / 10).collect();
            assert!(edges.len() <= 2, "{span:?} read more than the footer of {} segments", edges.len());
            for edge in edges {
                assert!(of(edge) < edge.bytes / 4 * 3, "{span:?} read {} bytes of {}", of(edge), edge.bytes);
            }
            // What is written to has its sums in memory.
            assert!(newest < 9_000 || of(segments.last().unwrap()) == 0, "{span:?}");
            assert!(read.len() > 5, "{span:?} reached back over {} segments only", read.len());
        }
    }
}

#[test]
fn a_window_from_one_thread_and_from_several_is_the_same() {
    let disk = SimDisk::new();
    let options = Options { segment_bytes: 400_000, mark_bytes: 20_000, ..options() };
    let (journal, _) = Journal::open(Arc::new(disk), Path::new(DIR), options).unwrap();
    let shares: Vec<_> = (1..=60_000).map(share).collect();
    for group in shares.chunks(1_000) {
        let commits: Vec<_> = group.iter().map(|share| journal.share(*share)).collect();
        commits.into_iter().for_each(|commit| _ = commit.wait().unwrap());
    }
    let view = journal.view();
    assert!(view.log().segments().count() > 4);
    for (newest, count) in [(60_000, 60_000), (58_123, 57_000), (59_999, 19_000), (35_500, 24_000)] {
        let end = WindowEnd { seq: ShareSeq(newest), ..WindowEnd::default() };
        for measure in [Measure::Work, Measure::Units, Measure::Count] {
            let window = Window { span: Span::Shares(count), measure, edge: Edge::Whole };
            let counted = view.counted(&window, &end, None).unwrap();
            assert_eq!(counted, naive(&shares, &window, &end), "{count} up to {newest} by {measure:?}");
        }
    }
}

/// A view stays what it was while shares come, and windows of both are those of their shares.
#[test]
fn a_view_counts_what_was_durable_when_it_was_taken() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    let shares: Vec<_> = (1..=900).map(share).collect();
    let views: Vec<_> = (0..=900_u64)
        .map(|newest| {
            if newest > 0 {
                journal.share(shares[newest as usize - 1]).wait().unwrap();
            }
            (newest, journal.view())
        })
        .collect();
    for (newest, view) in views {
        for end in [newest, newest - newest / 30] {
            let end = WindowEnd { seq: ShareSeq(end), ..WindowEnd::default() };
            let window = Window { span: Span::Shares(newest), measure: Measure::Work, edge: Edge::Whole };
            let counted = view.counted(&window, &end, None).unwrap();
            assert_eq!(counted, naive(&shares, &window, &end), "{end:?} of {newest}");
        }
    }
}

#[test]
fn a_reader_of_many_windows_that_keeps_segments_reads_each_once() {
    let disk = Arc::new(CountingDisk::new(SimDisk::new()));
    let (journal, _) = Journal::open(disk.clone(), Path::new(DIR), options()).unwrap();
    fill(&journal, 1, 3000);
    let view = journal.view();
    let segments: Vec<_> = view.log().segments().cloned().collect();
    let size: u64 = segments.iter().map(|segment| segment.bytes).sum();
    // Windows that are shorter than a segment: no footer is read.
    let windows = |view: &JournalView| {
        disk.read.lock().clear();
        let rows: Vec<_> = (1..=300)
            .map(|block: u64| {
                let last = share(block * 10);
                let end = WindowEnd {
                    seq: ShareSeq(block * 10),
                    network_work: last.network_work,
                    ..WindowEnd::default()
                };
                let span = if block.is_multiple_of(2) { Span::Shares(10) } else { Span::Work(20) };
                let window = Window { span, measure: Measure::Work, edge: Edge::Split };
                view.window(&window, &end, None).unwrap()
            })
            .collect();
        (rows, disk.read.lock().clone())
    };
    let (rows, read) = windows(&view.keeping());
    for segment in &segments {
        let bytes = read.get(&Path::new(DIR).join(segment.name())).copied().unwrap_or(0);
        // Of the one that is written to the sums are in memory: it is read where an edge is in it.
        let is_once = if segment.sealed.is_some() { bytes == segment.bytes } else { bytes <= segment.bytes };
        assert!(is_once, "{bytes} of {} in {}", segment.bytes, segment.name());
    }
    // One that keeps nothing reads of a segment for each window whose edge is in it.
    let (same, read) = windows(&view);
    assert_eq!(rows, same);
    let read: u64 = read.values().sum();
    assert!(read > size, "{read} of {size}");
}
