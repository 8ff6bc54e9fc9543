//! Hostile schemes and policies: each breaks one rule, each is found by name, and nothing of it counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_contracts::payout::{Allocation, Fees, State};
use millpond_payout::Rule;

const SUMS: [u128; 3] = [50, 30, 20];

/// The honest split, then a change.
fn spoiled(spoil: impl Fn(&mut Allocation) + Send + Sync + 'static) -> Rule {
    let scheme = scheme(move |income, windows, _| {
        let mut allocation = split(income.gross, &windows[0]);
        spoil(&mut allocation);
        allocation
    });
    rule(divide(&scheme, None, &SUMS))
}

#[test]
fn minted_money_is_refused() {
    assert_eq!(spoiled(|a| a.amount[0] += 1), Rule::Conserved);
}

#[test]
fn burnt_money_is_refused() {
    assert_eq!(spoiled(|a| a.amount[0] -= 1), Rule::Conserved);
    assert_eq!(spoiled(|a| a.rest += 1), Rule::Conserved);
}

#[test]
fn amounts_that_wrap_around_to_the_right_sum_are_refused() {
    let wrapping = |a: &mut Allocation| {
        a.rest = a.amount[0] + a.rest + 1;
        a.amount[0] = u64::MAX;
    };
    assert_eq!(spoiled(wrapping), Rule::Overflow);
}

#[test]
fn an_unknown_miner_is_refused() {
    assert_eq!(spoiled(|a| *a.miner.last_mut().unwrap() = 4), Rule::KnownMiner);
    assert_eq!(spoiled(|a| a.miner[0] = 0), Rule::KnownMiner);
}

#[test]
fn a_duplicate_miner_is_refused() {
    assert_eq!(spoiled(|a| a.miner[1] = a.miner[0]), Rule::Ascending);
}

#[test]
fn the_wrong_order_is_refused() {
    let swapped = |a: &mut Allocation| {
        a.miner.swap(0, 1);
        a.amount.swap(0, 1);
    };
    assert_eq!(spoiled(swapped), Rule::Ascending);
}

#[test]
fn an_empty_amount_is_refused() {
    let empty = |a: &mut Allocation| {
        a.rest += a.amount[1];
        a.amount[1] = 0;
    };
    assert_eq!(spoiled(empty), Rule::Positive);
}

#[test]
fn columns_of_different_length_are_refused() {
    assert_eq!(spoiled(|a| a.amount.truncate(2)), Rule::Columns);
    assert_eq!(spoiled(|a| a.miner.clear()), Rule::Columns);
}

#[test]
fn a_scheme_with_a_favourite_name_is_found_by_renaming() {
    let favour = |name: u64| {
        scheme(move |income, windows, _| {
            let mut allocation = split(income.gross, &windows[0]);
            let at = allocation.miner.iter().position(|miner| *miner == name).unwrap_or(0);
            let other = (at + 1) % allocation.miner.len();
            allocation.amount[at] += 1000;
            allocation.amount[other] -= 1000;
            allocation
        })
    };
    for name in 1..=3 {
        let rule = rule(divide(&favour(name), None, &SUMS));
        assert!(matches!(rule, Rule::Renaming | Rule::Splitting), "{rule:?}");
    }
}

#[test]
fn a_scheme_that_rewards_splitting_is_found_where_it_claims_not_to() {
    // Everybody gets the same: two names get twice as much.
    let equal = |income: &millpond_contracts::payout::Income,
                 windows: &[millpond_contracts::payout::Totals],
                 _: &State| {
        let count = windows[0].miner.len() as u64;
        let each = income.gross / count;
        Allocation {
            miner: windows[0].miner.clone(),
            amount: vec![each; windows[0].miner.len()],
            rest: income.gross - each * count,
            ..Allocation::default()
        }
    };
    assert!(matches!(rule(divide(&scheme(equal), None, &SUMS)), Rule::Splitting | Rule::Renaming));
    let honest_about_it = with_terms(millpond_contracts::payout::Terms { claims: vec![], ..terms() }, equal);
    assert!(divide(&honest_about_it, None, &SUMS).is_ok());
}

#[test]
fn state_beyond_what_was_declared_is_refused() {
    let state = |state: State| spoiled(move |a| a.state = state.clone());
    assert_eq!(state(State { memo: vec![0; 65_537], ..State::default() }), Rule::State);
    assert_eq!(state(State { miner: vec![1], cells: vec![], ..State::default() }), Rule::State);
    assert_eq!(state(State { miner: vec![1], cells: vec![5], ..State::default() }), Rule::State);
    let one_cell = millpond_contracts::payout::Terms { cells: 1, ..terms() };
    let cells = |miner: Vec<u64>, cells: Vec<u64>| {
        let scheme = with_terms(one_cell.clone(), move |income, windows, _| Allocation {
            state: State { memo: vec![], miner: miner.clone(), cells: cells.clone() },
            ..split(income.gross, &windows[0])
        });
        rule(divide(&scheme, None, &SUMS))
    };
    assert_eq!(cells(vec![1], vec![1, 2]), Rule::State);
    assert_eq!(cells(vec![2, 1], vec![1, 2]), Rule::State);
    assert_eq!(cells(vec![77], vec![1]), Rule::State);
    assert_eq!(cells(vec![1], vec![100]), Rule::Renaming, "a debt to a favourite name");
}

#[test]
fn a_fee_above_the_amount_or_a_rebate_above_the_fee_is_refused() {
    let policy = |fee_of: fn(u64) -> (u64, u64)| {
        let fee = fee(move |_, amount| Fees {
            fee: amount.iter().map(|a| fee_of(*a).0).collect(),
            rebate: amount.iter().map(|a| fee_of(*a).1).collect(),
        });
        rule(divide(&honest(), Some(&fee), &SUMS))
    };
    assert_eq!(policy(|amount| (amount + 1, 0)), Rule::Fee);
    assert_eq!(policy(|_| (5, 6)), Rule::Fee);
    let short = fee(|_, _| Fees::default());
    assert_eq!(rule(divide(&honest(), Some(&short), &SUMS)), Rule::Columns);
}

#[test]
fn a_fee_policy_with_a_favourite_name_is_found_by_renaming() {
    let favour = fee(|miner, amount| Fees {
        fee: miner
            .iter()
            .zip(amount)
            .map(|(miner, amount)| if *miner == 1 { 0 } else { amount / 10 })
            .collect(),
        rebate: vec![0; miner.len()],
    });
    assert_eq!(rule(divide(&honest(), Some(&favour), &SUMS)), Rule::Renaming);
}
