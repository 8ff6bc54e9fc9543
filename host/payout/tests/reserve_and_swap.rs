//! Credit against a reserve, and swaps that forget nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_contracts::payout::{Allocation, Batch, State, Terms, Version};
use millpond_ledger::{Entry, Owner};
use millpond_payout::{
    AccruedShare, BoundFee, BoundScheme, NoAttributes, PayoutError, Rule, SchemeState, SwapError, accrue,
    check_upgrade,
};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use std::collections::BTreeMap;

fn pps(accrue: impl Fn(&Batch, &State) -> Allocation + Send + Sync + 'static) -> BoundScheme {
    let terms = Terms { reserve: true, windows: vec![], batch: 100, ..terms() };
    let allocate = |income: &millpond_contracts::payout::Income, _: &[_], _: &State| Allocation {
        rest: income.gross,
        ..Allocation::default()
    };
    bound(Fake {
        terms,
        version: 1,
        contract: Version::V0_1,
        allocate: Box::new(allocate),
        accrue: Some(Box::new(accrue)),
    })
}

/// A unit per unit of work.
fn by_work(batch: &Batch, _: &State) -> Allocation {
    let mut sums = BTreeMap::<u64, u64>::new();
    batch.miner.iter().zip(&batch.work).for_each(|(miner, work)| *sums.entry(*miner).or_default() += work);
    Allocation {
        miner: sums.keys().copied().collect(),
        amount: sums.into_values().collect(),
        ..Allocation::default()
    }
}

fn shares(work: &[u64]) -> Vec<AccruedShare> {
    let share = |(at, work): (u64, &u64)| AccruedShare {
        seq: ShareSeq(at),
        miner: MinerId(at % 2 + 1),
        work: Work(*work),
        network: WorkSum(1000),
        time: UnixMillis(at),
        coord: 1,
        reward: Amount(5000),
        subsidy: None,
    };
    (1..).zip(work).map(share).collect()
}

fn credit(scheme: &BoundScheme, work: &[u64], reserve: u64) -> Result<(u64, usize), PayoutError> {
    let state = SchemeState::new(scheme.terms());
    let accrual = accrue(scheme, &[percent(1000)], &shares(work), Amount(reserve), &state, &NoAttributes)?;
    let total = match accrual.entry {
        Some(Entry::Accrued { parts, .. }) => parts.total().0,
        _ => 0,
    };
    Ok((total, accrual.shares))
}

#[test]
fn shares_are_credited_as_far_as_the_reserve_reaches_and_not_one_further() {
    let scheme = pps(by_work);
    assert_eq!(credit(&scheme, &[10, 20, 30, 40], 1000).unwrap(), (100, 4));
    assert_eq!(credit(&scheme, &[10, 20, 30, 40], 100).unwrap(), (100, 4));
    assert_eq!(credit(&scheme, &[10, 20, 30, 40], 99).unwrap(), (60, 3));
    assert_eq!(credit(&scheme, &[10, 20, 30, 40], 10).unwrap(), (10, 1));
    assert_eq!(credit(&scheme, &[10, 20, 30, 40], 9).unwrap(), (0, 0));
}

#[test]
fn fees_of_accrued_shares_come_out_of_the_credit() {
    let scheme = pps(by_work);
    let state = SchemeState::new(scheme.terms());
    let accrual =
        accrue(&scheme, &[percent(1000)], &shares(&[100, 50]), Amount(1000), &state, &NoAttributes).unwrap();
    let Some(Entry::Accrued { first, last, parts, .. }) = accrual.entry else { panic!() };
    assert_eq!((first, last, parts.total()), (ShareSeq(1), ShareSeq(2), Amount(150)));
    assert_eq!(parts.of(&Owner::Miner(MinerId(2))), Amount(90));
    assert_eq!(parts.of(&Owner::Miner(MinerId(1))), Amount(45));
}

/// What a fee comes to of so many batches, of one share each, of this work.
fn fee_of_batches(fee: &BoundFee, batches: u64, work: u64) -> u64 {
    let scheme = pps(by_work);
    let state = SchemeState::new(scheme.terms());
    let mut taken = 0;
    for at in 1..=batches {
        let share = AccruedShare { seq: ShareSeq(at), miner: MinerId(1), ..shares(&[work])[0] };
        let fees = std::slice::from_ref(fee);
        let accrual = accrue(&scheme, fees, &[share], Amount(u64::MAX), &state, &NoAttributes).unwrap();
        let Some(Entry::Accrued { parts, .. }) = accrual.entry else { panic!() };
        assert_eq!(parts.total(), Amount(work), "every unit is somewhere");
        taken += work - parts.of(&Owner::Miner(MinerId(1))).0;
    }
    taken
}

#[test]
fn a_fee_of_credits_is_right_in_the_mean_however_small_they_are() {
    // 1 % of 87 units 10,000 times is 8,700; each draw of 0.87 has a variance of 0.1131, all of them a deviation of 34.
    let taken = fee_of_batches(&percent(100).with_fractions(), 10_000, 87);
    assert!(taken.abs_diff(8_700) < 6 * 34, "{taken}");
    assert_eq!(
        fee_of_batches(&percent(100), 10_000, 87),
        0,
        "rounded down at each credit nothing is left of it"
    );
    // All and nothing are no matter of chance, and neither is what is whole; nor is a credit that leaves no room for fractions.
    for (points, work, each) in
        [(10_000, 87, 87), (0, 87, 0), (100, 1_300, 13), (100, u64::MAX, u64::MAX / 100)]
    {
        assert_eq!(
            fee_of_batches(&percent(points).with_fractions(), 3, work),
            3 * each,
            "{points} of {work}"
        );
    }
}

#[test]
fn two_policies_draw_apart() {
    let scheme = pps(by_work);
    let state = SchemeState::new(scheme.terms());
    let fees = [percent(5_000).with_fractions(), percent(5_000).with_fractions()];
    let mut both = BTreeMap::<u64, u32>::new();
    for at in 1..=400 {
        let share = AccruedShare { seq: ShareSeq(at), miner: MinerId(1), ..shares(&[1])[0] };
        let accrual = accrue(&scheme, &fees, &[share], Amount(9), &state, &NoAttributes).unwrap();
        let Some(Entry::Accrued { parts, .. }) = accrual.entry else { panic!() };
        *both.entry(parts.of(&Owner::Miner(MinerId(1))).0).or_default() += 1;
    }
    // A half of the unit, and a half of what is left of it: a quarter stays with the miner. 100 of 400, with a deviation of 8.7.
    assert!(both[&1].abs_diff(100) < 52, "{both:?}");
}

#[test]
fn a_scheme_that_credits_a_favourite_name_is_found() {
    let favour = pps(|batch, state| {
        let mut given = by_work(batch, state);
        given.amount[0] += 1;
        given
    });
    let error = credit(&favour, &[10, 20], 1000).unwrap_err();
    assert!(matches!(error, PayoutError::Broken { rule: Rule::Renaming, .. }), "{error}");
}

#[test]
fn shares_out_of_order_are_the_hosts_error() {
    let scheme = pps(by_work);
    let mut list = shares(&[1, 2]);
    list.swap(0, 1);
    let state = SchemeState::default();
    assert!(matches!(
        accrue(&scheme, &[], &list, Amount(10), &state, &NoAttributes),
        Err(PayoutError::Input(_))
    ));
}

fn versioned(version: u8, format: &str, forgets: bool) -> BoundScheme {
    let terms = Terms { cells: 1, state_format: format.to_owned(), ..terms() };
    let allocate = move |income: &millpond_contracts::payout::Income,
                         windows: &[millpond_contracts::payout::Totals],
                         state: &State| {
        let kept = if forgets {
            State { cells: vec![0; state.cells.len()], ..state.clone() }
        } else {
            State::default()
        };
        let given = if windows[0].miner.is_empty() {
            Allocation { rest: income.gross, ..Allocation::default() }
        } else {
            split(income.gross, &windows[0])
        };
        Allocation { state: kept, ..given }
    };
    bound(Fake { terms, version, contract: Version::V0_1, allocate: Box::new(allocate), accrue: None })
}

fn owing(scheme: &BoundScheme) -> SchemeState {
    let mut state = SchemeState::new(scheme.terms());
    let change = r#"{"format":"owed-1","width":1,"memo":null,"rows":[[1,[500]],[2,[7]]]}"#;
    state.apply(change.as_bytes(), None).unwrap();
    state
}

#[test]
fn an_upgrade_that_forgets_its_debts_is_refused() {
    let old = versioned(1, "owed-1", false);
    let state = owing(&old);
    assert!(check_upgrade(&old, &versioned(2, "owed-1", false), &state).is_ok());
    let forgets = check_upgrade(&old, &versioned(2, "owed-1", true), &state).unwrap_err();
    assert!(matches!(forgets, SwapError::Forgets { rows: 2, .. }), "{forgets}");
    let other = check_upgrade(&old, &versioned(2, "owed-2", false), &state).unwrap_err();
    assert!(matches!(other, SwapError::Format { .. }), "{other}");
    assert!(other.to_string().contains("pay the debts out"));
}

#[test]
fn a_scheme_that_owes_nothing_may_be_followed_by_any() {
    let old = versioned(1, "owed-1", false);
    assert!(check_upgrade(&old, &honest(), &SchemeState::new(old.terms())).is_ok());
}
