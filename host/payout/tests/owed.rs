//! What a scheme that another follows still owes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_contracts::payout::{Edge, Measure, Span, Terms, Window};
use millpond_ledger::Owner;
use millpond_payout::{
    NoAttributes, PayoutError, Rule, SchemeState, WindowSums, allocate, owed, owes_by_windows,
    owes_nothing_behind_a_block,
};
use millpond_types::{Amount, MinerId};
use proptest::prelude::*;
use std::collections::BTreeMap;

const OTHERS: MinerId = MinerId(u64::MAX);

fn rows(work: &[u64], others: u64) -> WindowSums {
    let work: Vec<u128> = work.iter().map(|work| u128::from(*work)).collect();
    let mut rows = window(&work).0;
    rows.push((OTHERS, u128::from(others)));
    WindowSums(rows)
}

#[test]
fn fees_are_taken_of_what_real_miners_get_and_the_rest_is_all_that_others_would() {
    let owed =
        owed(&honest(), &[percent(100)], &facts(1_000_000), &[rows(&[300, 100], 600)], OTHERS, &NoAttributes);
    let owed = owed.unwrap();
    assert_eq!(owed.rest, Amount(600_000));
    let parts: BTreeMap<Owner, u64> =
        owed.parts.iter().map(|(owner, amount)| (owner.clone(), amount.0)).collect();
    let fees: u64 = parts.iter().filter(|(owner, _)| matches!(owner, Owner::Fee(_))).map(|row| row.1).sum();
    assert_eq!(fees, 4_000, "a hundredth of what is owed, and of nothing else");
    assert_eq!(parts[&Owner::Miner(MinerId(10))], 297_000);
    assert!(!parts.contains_key(&Owner::Miner(OTHERS)) && !parts.contains_key(&Owner::Carry));
    let functions: Vec<_> = owed.audit.iter().map(|record| record.function.as_str()).collect();
    assert_eq!(functions, ["allocate", "allocate-renamed", "fees", "fees-renamed"]);
}

#[test]
fn others_are_renamed_and_split_as_anybody_and_whoever_favours_a_name_is_seen() {
    // All to the first name: in the second run that is somebody else.
    let favours = scheme(|income, windows, _| {
        let mut all = split(income.gross, &windows[0]);
        all.miner.truncate(1);
        all.amount = vec![income.gross];
        all
    });
    let told = owed(&favours, &[], &facts(1000), &[rows(&[5], 5)], OTHERS, &NoAttributes).unwrap_err();
    assert!(matches!(told, PayoutError::Broken { rule: Rule::Renaming | Rule::Splitting, .. }), "{told}");
    // A finder behind the boundary is one of the others.
    let finder = scheme(|income, windows, _| {
        let mut all = split(0, &windows[0]);
        all.miner = vec![income.finder.unwrap()];
        (all.amount, all.rest) = (vec![income.gross], 0);
        all
    });
    let found = millpond_payout::IncomeFacts { finder: Some(OTHERS), ..facts(1000) };
    let of_finder = owed(&finder, &[percent(100)], &found, &[rows(&[5], 5)], OTHERS, &NoAttributes).unwrap();
    assert_eq!((of_finder.parts, of_finder.rest), (Vec::new(), Amount(1000)));
}

#[test]
fn what_a_scheme_would_carry_is_for_who_follows() {
    let half = scheme(|income, windows, _| {
        let mut all = split(income.gross / 2, &windows[0]);
        all.rest += income.gross - income.gross / 2;
        all
    });
    let owed = owed(&half, &[], &facts(1000), &[rows(&[5], 5)], OTHERS, &NoAttributes).unwrap();
    assert_eq!((owed.parts, owed.rest), (vec![(Owner::Miner(MinerId(10)), Amount(250))], Amount(750)));
}

#[test]
fn only_windows_that_reach_over_blocks_without_a_state_are_owed_by() {
    let of = |spans: &[Span]| {
        let one = |span: &Span| Window { span: *span, measure: Measure::Work, edge: Edge::Whole };
        Terms { windows: spans.iter().map(one).collect(), ..terms() }
    };
    let by = |terms: &Terms| (owes_by_windows(terms), owes_nothing_behind_a_block(terms));
    for span in [Span::Shares(1), Span::Work(1), Span::Millis(1), Span::Coord(1), Span::Slices(1, 0)] {
        assert_eq!(by(&of(&[span, Span::Finder])), (true, false), "{span:?}");
        let open = of(&[span]);
        let others = [
            Terms { cells: 1, ..open.clone() },
            Terms { batch: 1, ..open.clone() },
            Terms { reserve: true, ..open.clone() },
            Terms { operator_most: 1, ..open.clone() },
            Terms { state_format: "a".to_owned(), ..open },
        ];
        assert!(others.iter().all(|terms| by(terms) == (false, false)));
    }
    assert_eq!(by(&of(&[Span::Round, Span::Finder])), (false, true));
    assert_eq!(by(&of(&[])), (false, true));
}

proptest! {
    /// Others get what a miner with their work would have got, and everybody else what he would have got beside him.
    #[test]
    fn real_miners_get_what_they_would_beside_a_miner_with_the_work_of_others(
        work in proptest::collection::vec(0_u64..1 << 50, 1..20),
        others in 0_u64..1 << 52,
        amount in 0_u64..1 << 60,
    ) {
        let windows = [rows(&work, others)];
        let owed = owed(&honest_or_carry(), &[], &facts(amount), &windows, OTHERS, &NoAttributes).unwrap();
        let state = SchemeState::new(&terms());
        let plain = allocate(&honest_or_carry(), &[], &facts(amount), Amount::ZERO, &windows, &state, &NoAttributes);
        let plain = plain.unwrap().entry.parts;
        let given: u64 = owed.parts.iter().map(|part| part.1.0).sum();
        prop_assert_eq!(given + owed.rest.0, amount);
        prop_assert_eq!(owed.rest.0, plain.of(&Owner::Miner(OTHERS)).0 + plain.of(&Owner::Carry).0);
        for (owner, amount) in owed.parts {
            prop_assert_eq!(plain.of(&owner), amount);
        }
    }
}

/// The honest split, that carries where nobody has worked.
fn honest_or_carry() -> millpond_payout::BoundScheme {
    scheme(|income, windows, _| match windows[0].miner.is_empty() {
        true => millpond_contracts::payout::Allocation { rest: income.gross, ..Default::default() },
        false => split(income.gross, &windows[0]),
    })
}
