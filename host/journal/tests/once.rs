//! Windows that pay a share once are what a scan of every share gives, whatever segments there are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_journal::*;
use millpond_types::{Amount, MinerId, ShareSeq, Work};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const fn window(most: u64, measure: Measure, edge: Edge) -> Window {
    Window { span: Span::Unpaid(most), measure, edge }
}

fn end(seq: u64) -> WindowEnd {
    WindowEnd { seq: ShareSeq(seq), ..WindowEnd::default() }
}

/// What a share is worth, in 2^-32.
fn worth(share: &Share, measure: Measure) -> u128 {
    let amount = match measure {
        Measure::SubsidyValue => share.subsidy.unwrap_or(share.reward),
        _ => share.reward,
    };
    ((u128::from(share.work.0) * u128::from(amount.0)) << 32) / share.network_work
}

fn any_shares() -> impl Strategy<Value = Vec<Share>> {
    let one = (1_u64..6, 0_u64..40, 1_u128..900, 0_u64..2_000, prop::option::weighted(0.8, 0_u64..2_000));
    prop::collection::vec(one, 1..500).prop_map(|rows| {
        let rows = (1..).zip(rows);
        rows.map(|(number, (miner, work, network_work, reward, subsidy))| Share {
            miner: MinerId(miner),
            work: Work(work),
            network_work,
            reward: Amount(reward),
            subsidy: subsidy.map(|subsidy| Amount(subsidy.min(reward))),
            ..share(number)
        })
        .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn segments_and_lists_give_what_a_scan_of_all_shares_gives(
        shares in any_shares(),
        incomes in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..60_000), 1..10),
        in_order in prop::bool::weighted(0.7),
        measure in prop_oneof![Just(Measure::Value), Just(Measure::SubsidyValue)],
        edge in prop_oneof![Just(Edge::Whole), Just(Edge::Split), Just(Edge::Cut)],
        most in prop_oneof![1_u64..700, Just(u64::MAX)],
        begins in 0_u64..100,
        restart: bool,
    ) {
        let disk = SimDisk::new();
        let (mut journal, _) = open(&disk);
        for group in shares.chunks(9) {
            let commits: Vec<_> = group.iter().map(|share| journal.share(*share)).collect();
            for commit in commits {
                commit.wait().unwrap();
            }
        }
        if restart {
            drop(journal);
            journal = open(&disk).0;
        }
        let view = journal.view();
        let mut ends: Vec<_> =
            incomes.into_iter().map(|(end, gross)| (end.index(shares.len()) as u64 + 1, gross)).collect();
        if in_order {
            ends.sort_unstable();
        }
        let window = window(most, measure, edge);
        let mut list = Unpaid::default();
        // By share: what is left of its value, while it may be paid.
        let mut owed: BTreeMap<u64, u128> = BTreeMap::new();
        let mut upto = 0;
        for (seq, gross) in ends {
            let fresh = (upto + 1..=seq).filter(|number| *number > begins);
            owed.extend(fresh.map(|number| (number, worth(&shares[number as usize - 1], measure))));
            upto = upto.max(seq);
            let pays = Pays { window: &window, end: &end(seq), begins: ShareSeq(begins), gross: Amount(gross) };
            let (counted, left) = view.pays(&pays, &list).unwrap();
            let (mut rows, mut first) = (BTreeMap::<MinerId, u128>::new(), seq + 1);
            let mut room = u128::from(gross) << 32;
            for number in (1..=seq).rev().filter(|number| seq - number < most) {
                let Some(value) = owed.get(&number).copied().filter(|_| room > 0) else { continue };
                let counts = match edge {
                    _ if value <= room => value,
                    Edge::Whole => value,
                    Edge::Split => room,
                    Edge::Cut => 0,
                };
                if counts > 0 {
                    first = number;
                }
                *rows.entry(shares[number as usize - 1].miner).or_default() += counts;
                owed.insert(number, value - counts);
                if counts == value {
                    owed.remove(&number);
                }
                room = room.saturating_sub(value);
            }
            rows.retain(|_, sum| *sum > 0);
            prop_assert_eq!(counted.rows, rows.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(counted.first, ShareSeq(first));
            owed.retain(|number, _| upto - number < most);
            let listed = left.stretches().iter().flat_map(|it| it.first..=it.last);
            prop_assert_eq!(listed.collect::<Vec<_>>(), owed.keys().copied().collect::<Vec<_>>());
            list = left;
        }
    }
}

#[test]
fn an_income_reads_what_it_pays_and_not_what_was_paid() {
    let disk = Arc::new(CountingDisk::new(SimDisk::new()));
    // Footers of one block, so that a segment is read whole or not at all.
    let options = Options { mark_bytes: u64::MAX, ..options() };
    let (journal, _) = Journal::open(disk.clone(), Path::new(DIR), options).unwrap();
    fill(&journal, 1, 3000);
    journal.roll().wait().unwrap();
    let view = journal.view();
    let segments: Vec<_> = view.log().segments().cloned().collect();
    assert!(segments.len() > 20);
    let window = window(u64::MAX, Measure::Value, Edge::Split);
    let ask = |seq, begins, gross, list: &Unpaid| {
        disk.read.lock().clear();
        let (end, begins, gross) = (end(seq), ShareSeq(begins), Amount(gross));
        let (_, left) = view.pays(&Pays { window: &window, end: &end, begins, gross }, list).unwrap();
        let read = disk.read.lock().clone();
        let whole = segments.iter().filter(|segment| {
            read.get(&Path::new(DIR).join(segment.name())).is_some_and(|bytes| *bytes >= segment.bytes)
        });
        (whole.count(), left)
    };
    let all = Unpaid::default();
    // A share is worth a third of a unit: one unit is within a segment.
    let (read, _) = ask(3000, 0, 1, &all);
    assert!((1..=2).contains(&read), "{read}");
    // All but the first ten and the last ten were paid: what is between is not read again.
    let (_, first) = ask(10, 0, 0, &all);
    let (read, between) = ask(2990, 10, 1_000_000, &first);
    assert!(read > 20 && between.oldest() == 1 && between.upto() == 2990, "{read} {between:?}");
    let (read, left) = ask(3000, 0, 1_000_000, &between);
    assert!((2..=3).contains(&read), "{read}");
    assert!(left.stretches().is_empty());
}

#[test]
fn what_was_dropped_and_is_unpaid_is_an_error_and_what_is_paid_before_it_is_not() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    for _ in 0..4 {
        let share = Share { work: Work(20), network_work: 100, reward: Amount(50), ..share(1) };
        journal.share(share).wait().unwrap();
        journal.roll().wait().unwrap();
    }
    let window = window(1_000, Measure::Value, Edge::Split);
    let ask = |gross, list: &Unpaid| {
        let pays = Pays { window: &window, end: &end(4), begins: ShareSeq(0), gross: Amount(gross) };
        journal.view().pays(&pays, list)
    };
    let (counted, all) = ask(100, &Unpaid::default()).unwrap();
    assert_eq!((counted.rows, counted.first), (vec![(share(1).miner, 40 << 32)], ShareSeq(1)));
    assert_eq!(all.stretches(), []);
    journal.drop_before(ShareSeq(3)).unwrap();
    assert_eq!(journal.view().dropped().last, ShareSeq(2));
    // Twenty are the two that are there; a unit more is of those that are not.
    let (counted, list) = ask(20, &Unpaid::default()).unwrap();
    assert_eq!((counted.first, list.oldest()), (ShareSeq(3), 1));
    let error = ask(21, &Unpaid::default()).unwrap_err();
    assert!(matches!(error, JournalError::Dropped { last: ShareSeq(2) }), "{error}");
    // Nor are they asked for where they are paid.
    assert_eq!(ask(21, &all).unwrap().0.rows, []);
}

#[test]
fn a_window_of_what_is_unpaid_is_by_value_alone_and_not_asked_for_without_the_list() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    fill(&journal, 1, 3);
    let pays = |window: Window, seq| {
        let end = end(seq);
        let pays = Pays { window: &window, end: &end, begins: ShareSeq(0), gross: Amount(1) };
        journal.view().pays(&pays, &Unpaid::default()).map(|(counted, _)| counted)
    };
    let by_value = window(10, Measure::Value, Edge::Split);
    assert!(pays(by_value, 3).is_ok());
    assert!(matches!(pays(by_value, 4), Err(JournalError::Ahead { .. })));
    for other in [
        window(10, Measure::Work, Edge::Split),
        window(10, Measure::FeeValue, Edge::Split),
        Window { span: Span::Shares(10), ..by_value },
    ] {
        assert!(matches!(pays(other, 3), Err(JournalError::NoSuchWindow)), "{other:?}");
    }
    let without = journal.view().window(&by_value, &end(3), None).unwrap_err();
    assert!(matches!(without, JournalError::NoSuchWindow));
    // Retention is told the farthest that it may reach.
    assert_eq!(journal.view().needed_from(&window(2, Measure::Value, Edge::Split), &end(3), 1), ShareSeq(2));
}

#[test]
fn values_that_do_not_fit_are_an_error() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    let share = Share { work: Work(u64::MAX), network_work: 0, reward: Amount(u64::MAX), ..share(1) };
    journal.share(share).wait().unwrap();
    let window = window(10, Measure::Value, Edge::Split);
    let pays = Pays { window: &window, end: &end(1), begins: ShareSeq(0), gross: Amount(1) };
    let error = journal.view().pays(&pays, &Unpaid::default()).unwrap_err();
    assert!(matches!(error, JournalError::Overflow), "{error}");
}
