//! Windows that pay a share once, held against what each share was paid.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use millpond_windows::{Edge, Look, Paying, Stretch, Unpaid};
use proptest::prelude::*;
use std::collections::BTreeMap;

const fn stretch(first: u64, last: u64, paid: u128) -> Stretch {
    Stretch { first, last, paid }
}

/// As it stands in a ledger.
fn list(upto: u64, stretches: &[Stretch]) -> Unpaid {
    let written = serde_json::json!({"upto": upto, "stretches": stretches});
    serde_json::from_value(written).unwrap()
}

fn look(end: u64) -> Look {
    Look { begins: 0, end, most: 1_000 }
}

/// Pays shares of ten each; what each was paid, newest first.
fn paid(paying: &mut Paying, end: u64) -> Vec<(u64, u128)> {
    let of = (1..=end).rev().map(|number| (number, paying.pay(number, 10).unwrap()));
    of.filter(|(_, counts)| *counts > 0).collect()
}

#[test]
fn the_newest_are_paid_first_and_the_share_on_the_edge_has_its_rest_later() {
    let mut first = Unpaid::default().paying(look(6), 25, Edge::Split);
    assert_eq!(paid(&mut first, 6), [(6, 10), (5, 10), (4, 5)]);
    let list = first.left();
    assert_eq!((list.upto(), list.stretches()), (6, &[stretch(1, 4, 5)][..]));
    // A short round: its own share, then what the one before left.
    let mut second = list.paying(look(7), 22, Edge::Split);
    assert!(second.wants(7, 7) && !second.wants(5, 6) && second.wants(4, 5));
    assert_eq!(second.newest(), Some(7));
    assert_eq!(paid(&mut second, 7), [(7, 10), (4, 5), (3, 7)]);
    assert_eq!(second.newest(), None);
    assert_eq!(second.left().stretches(), [stretch(1, 3, 7)]);
    // A long one leaves another stretch.
    let mut third = list.paying(look(12), 15, Edge::Split);
    assert_eq!(paid(&mut third, 12), [(12, 10), (11, 5)]);
    assert_eq!(third.left().stretches(), [stretch(1, 4, 5), stretch(7, 11, 5)]);
}

#[test]
fn an_edge_that_is_whole_is_paid_and_one_that_is_cut_waits() {
    for (edge, expected, left) in [
        (Edge::Whole, vec![(6, 10), (5, 10)], stretch(1, 4, 0)),
        (Edge::Cut, vec![(6, 10)], stretch(1, 5, 0)),
    ] {
        let mut paying = Unpaid::default().paying(look(6), 15, edge);
        assert_eq!(paid(&mut paying, 6), expected);
        assert_eq!(paying.left().stretches(), [left]);
    }
}

#[test]
fn what_nobody_is_left_to_take_leaves_no_share_unpaid() {
    let mut paying = Unpaid::default().paying(look(3), 31, Edge::Split);
    assert_eq!(paid(&mut paying, 3), [(3, 10), (2, 10), (1, 10)]);
    assert!(!paying.is_done() && !paying.wants(1, 3));
    assert_eq!(paying.left(), list(3, &[]));
    // Nothing to divide pays nobody.
    let nothing = Unpaid::default().paying(look(3), 0, Edge::Split);
    assert!(nothing.is_done());
    assert_eq!(nothing.left().stretches(), [stretch(1, 3, 0)]);
}

#[test]
fn a_late_income_pays_no_share_behind_its_own() {
    let list = list(9, &[stretch(1, 9, 3)]);
    let mut late = list.paying(look(5), 25, Edge::Split);
    assert_eq!(paid(&mut late, 9), [(5, 10), (4, 10), (3, 5)]);
    assert_eq!(late.left().stretches(), [stretch(1, 3, 5), stretch(6, 9, 3)]);
}

#[test]
fn shares_of_another_scheme_and_those_too_far_back_are_not_paid() {
    let list = list(4, &[stretch(2, 4, 0)]);
    let mut paying = list.paying(Look { begins: 6, end: 9, most: 1_000 }, 50, Edge::Split);
    assert_eq!(paid(&mut paying, 9), [(9, 10), (8, 10), (7, 10)]);
    // What is another's is not paid, and not forgotten: its own income may come late.
    assert_eq!(paying.left().stretches(), [stretch(2, 4, 0)]);
    let mut near = list.paying(Look { begins: 0, end: 6, most: 4 }, 50, Edge::Split);
    assert_eq!(paid(&mut near, 6), [(6, 10), (5, 10), (4, 10), (3, 10)]);
    assert_eq!(near.left().stretches(), []);
    let near = list.paying(Look { begins: 0, end: 6, most: 4 }, 0, Edge::Split);
    assert_eq!(near.left().stretches(), [stretch(3, 6, 0)]);
}

#[test]
fn a_list_that_was_written_down_is_the_same() {
    let list = list(9, &[stretch(1, 3, 0), stretch(7, 9, u128::MAX - 1)]);
    let bytes = serde_json::to_string(&list).unwrap();
    assert_eq!(serde_json::from_str::<Unpaid>(&bytes).unwrap(), list);
    let value = serde_json::to_value(&list).unwrap();
    assert_eq!(serde_json::from_value::<Unpaid>(value).unwrap(), list);
    assert_eq!(bytes.matches("paid").count(), 1);
}

proptest! {
    #[test]
    fn each_share_is_paid_its_value_at_most_and_an_older_one_only_when_all_newer_ones_are(
        values in prop::collection::vec(0..50_u128, 1..60),
        incomes in prop::collection::vec((1..60_u64, 0..400_u128, 0..40_u64, 1..70_u64), 1..12),
        edge in prop_oneof![Just(Edge::Split), Just(Edge::Whole), Just(Edge::Cut)],
    ) {
        let mut list = Unpaid::default();
        // What unpaid shares were paid in part.
        let mut naive = BTreeMap::<u64, u128>::new();
        let mut upto = 0;
        for (end, gross, begins, most) in incomes {
            let end = end.min(values.len() as u64);
            naive.extend((upto + 1..=end).filter(|number| *number > begins).map(|number| (number, 0)));
            upto = upto.max(end);
            let mut paying = list.paying(Look { begins, end, most }, gross, edge);
            let mut left = gross;
            for number in (1..=upto).rev() {
                let value = values[number as usize - 1];
                let sees = number <= end && number > begins && number + most > end;
                let before = naive.get(&number).copied().filter(|_| sees && left > 0);
                prop_assert_eq!(paying.wants(number, number), before.is_some());
                let owed = before.map_or(0, |before| value - before);
                let expected = match edge {
                    _ if owed <= left => owed,
                    Edge::Whole => owed,
                    Edge::Split => left,
                    Edge::Cut => 0,
                };
                let counts = paying.pay(number, value).unwrap();
                prop_assert_eq!(counts, expected, "share {} of the income at {}", number, end);
                if let Some(before) = before {
                    naive.insert(number, before + counts);
                    if counts == owed {
                        naive.remove(&number);
                    }
                    left = left.saturating_sub(owed);
                }
            }
            prop_assert_eq!(paying.is_done(), left == 0);
            naive.retain(|number, _| number + most > upto);
            list = paying.left();
            let listed = list.stretches().iter().flat_map(|it| {
                (it.first..=it.last).map(|number| (number, if number == it.last { it.paid } else { 0 }))
            });
            prop_assert_eq!(listed.collect::<Vec<_>>(), naive.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(list.upto(), upto);
            // As short as it can be.
            let joins = |two: &[Stretch]| two[0].paid == 0 && two[0].last + 1 == two[1].first;
            prop_assert!(!list.stretches().windows(2).any(joins), "{:?}", list);
        }
    }
}
