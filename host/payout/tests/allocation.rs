//! What an honest scheme's result becomes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_contracts::payout::{Allocation, Fees, State, Terms};
use millpond_ledger::Owner;
use millpond_payout::{NoAttributes, PayoutError, SchemeState, WindowSums, allocate};
use millpond_types::{Amount, MinerId};
use proptest::prelude::*;

fn miner(id: u64) -> Owner {
    Owner::Miner(MinerId(id))
}

#[test]
fn an_income_is_split_by_work_and_fees_go_to_the_recipients_by_weight() {
    let decision = divide(&honest(), Some(&percent(100)), &[50, 30, 20]).unwrap();
    let parts = &decision.entry.parts;
    assert_eq!(parts.total(), Amount(1_000_003));
    let (pool, dev) = (parts.of(&Owner::Fee(name_of("pool"))), parts.of(&Owner::Fee(name_of("dev"))));
    assert_eq!(pool.0 + dev.0, 10_000);
    assert_eq!(pool.0, 10_000 - 10_000 / 3, "two thirds, by cumulative floor in the order of names");
    assert!(parts.of(&miner(10)).0.abs_diff(495_001) <= 1);
    assert_eq!(decision.entry.root.sum, Amount(1_000_003));
}

#[test]
fn a_rebate_goes_back_to_the_miner() {
    let policy = fee(|_, amount| Fees { fee: vec![1000; amount.len()], rebate: vec![400; amount.len()] });
    let parts = divide(&honest(), Some(&policy), &[1]).unwrap().entry.parts;
    assert_eq!(parts.of(&miner(10)), Amount(1_000_003 - 600));
}

#[test]
fn what_a_scheme_leaves_is_carried_and_divided_with_a_later_income() {
    let half = scheme(|income, windows, _| {
        let mut allocation = split(income.gross / 2, &windows[0]);
        allocation.rest += income.gross - income.gross / 2;
        allocation
    });
    let decision = divide(&half, None, &[1, 1]).unwrap();
    assert_eq!(decision.entry.parts.of(&Owner::Carry), Amount(500_002));
    let state = SchemeState::new(half.terms());
    let with_carry =
        allocate(&honest(), &[], &facts(1000), Amount(500), &[window(&[1])], &state, &NoAttributes).unwrap();
    assert_eq!((with_carry.entry.amount, with_carry.entry.carry_in), (Amount(1000), Amount(500)));
    assert_eq!(with_carry.entry.parts.of(&miner(10)), Amount(1500));
}

#[test]
fn a_scheme_with_a_reserve_leaves_its_rest_to_the_reserve() {
    let terms = Terms { reserve: true, windows: vec![], ..terms() };
    let pps = with_terms(terms, |income, _, _| Allocation { rest: income.gross, ..Allocation::default() });
    let state = SchemeState::new(pps.terms());
    let decision = allocate(&pps, &[], &facts(77), Amount::ZERO, &[], &state, &NoAttributes).unwrap();
    assert_eq!(decision.entry.parts.of(&Owner::Reserve), Amount(77));
}

#[test]
fn zero_work_earns_zero_and_an_empty_window_loses_nothing() {
    let nobody = scheme(|income, windows, _| {
        assert!(windows[0].miner.is_empty());
        Allocation { rest: income.gross, ..Allocation::default() }
    });
    let decision = divide(&nobody, Some(&percent(100)), &[0, 0]).unwrap();
    assert_eq!(decision.entry.parts.of(&Owner::Carry), Amount(1_000_003));
}

#[test]
fn the_same_facts_give_the_same_entry_and_audit_byte_for_byte() {
    let one = divide(&honest(), Some(&percent(250)), &[5, 7, 11]).unwrap();
    let two = divide(&honest(), Some(&percent(250)), &[5, 7, 11]).unwrap();
    assert_eq!(one, two);
    let functions: Vec<_> = one.audit.iter().map(|record| record.function.as_str()).collect();
    assert_eq!(functions, ["allocate", "allocate-renamed", "fees", "fees-renamed"]);
    let other = divide(&honest(), Some(&percent(250)), &[5, 7, 12]).unwrap();
    assert_ne!(one.audit[0].input, other.audit[0].input);
    assert_ne!(one.audit[0].output, other.audit[0].output);
    assert_eq!((one.audit[0].fuel_limit, one.audit[0].fuel_used), (1000, 10));
}

#[test]
fn cells_are_kept_per_miner_under_whatever_names() {
    // Each call adds the miner's work of the window to his cell.
    let terms = Terms { cells: 1, state_format: "sum-1".to_owned(), ..terms() };
    let summing = with_terms(terms, |income, windows, state| {
        let window = &windows[0];
        let before = |miner| state.miner.iter().position(|m| m == miner).map_or(0, |at| state.cells[at]);
        let cells = window.miner.iter().zip(&window.low).map(|(miner, low)| before(miner) + low).collect();
        Allocation {
            state: State { memo: vec![], miner: window.miner.clone(), cells },
            ..split(income.gross, window)
        }
    });
    let mut state = SchemeState::new(summing.terms());
    for round in 0..3_u64 {
        let sums = window(&[10, 20, 30]);
        let facts = facts(1000 + round);
        let decision = allocate(&summing, &[], &facts, Amount::ZERO, &[sums], &state, &NoAttributes).unwrap();
        state.apply(&decision.entry.state, Some(&facts.key)).unwrap();
    }
    let mut expected = SchemeState::new(summing.terms());
    let change = r#"{"format":"sum-1","width":1,"memo":null,"rows":[[10,[30]],[20,[60]],[30,[90]]]}"#;
    expected.apply(change.as_bytes(), None).unwrap();
    assert_eq!(state.miners().collect::<Vec<_>>(), expected.miners().collect::<Vec<_>>());
    state.restore_before(&facts(1000).key).unwrap();
    assert!(state.is_empty(), "undone to the beginning");
}

#[test]
fn a_column_that_the_pool_has_not_is_the_hosts_error_and_no_strike() {
    struct Wanting;
    impl millpond_contracts::payout::FeePolicy for Wanting {
        fn digest(&self) -> millpond_types::Digest {
            millpond_types::Digest::default()
        }
        fn schema(&self) -> millpond_contracts::Outcome<String> {
            done(String::new())
        }
        fn describe(&self, _: &millpond_contracts::Settings) -> millpond_contracts::Outcome<Vec<String>> {
            done(vec!["shoe-size".to_owned()])
        }
        fn fees(
            &self,
            _: &millpond_contracts::Settings,
            _: &millpond_contracts::payout::Income,
            _: &[u64],
            _: &[u64],
            _: &[Vec<u64>],
        ) -> millpond_contracts::Outcome<Fees> {
            panic!("never called")
        }
    }
    let to = vec![millpond_payout::Recipient { name: name_of("pool"), weight: 1 }];
    let fee = millpond_payout::BoundFee::new("wanting", std::sync::Arc::new(Wanting), vec![], to).unwrap();
    let error = divide(&honest(), Some(&fee), &[1]).unwrap_err();
    assert!(matches!(&error, PayoutError::Input(text) if text.contains("shoe-size")), "{error}");
    assert!(!error.is_strike());
}

proptest! {
    #[test]
    fn every_income_is_conserved_and_nobody_is_off_by_more_than_a_unit(
        gross in 0..u64::MAX,
        work in proptest::collection::vec(1..u128::from(u32::MAX), 1..30),
        points in 0..=10_000_u64,
    ) {
        let state = SchemeState::default();
        let sums = window(&work);
        let decide = |fees: &[_]| allocate(&honest(), fees, &facts(gross), Amount::ZERO, std::slice::from_ref(&sums), &state, &NoAttributes);
        let free = decide(&[]).unwrap().entry.parts;
        prop_assert_eq!(free.total(), Amount(gross));
        let total: u128 = work.iter().sum();
        for (at, weight) in (1..).zip(&work) {
            let exact = u64::try_from(u128::from(gross) * weight / total).unwrap();
            prop_assert!(free.of(&miner(at * 10)).0.abs_diff(exact) <= 1);
        }
        let charged = decide(&[percent(points)]).unwrap().entry.parts;
        prop_assert_eq!(charged.total(), Amount(gross));
    }

    #[test]
    fn sums_beyond_64_bits_are_handed_over_whole(high in 1..1000_u128) {
        let sums = WindowSums(vec![(MinerId(1), high << 64), (MinerId(2), (high << 64) * 3)]);
        let state = SchemeState::default();
        let parts = allocate(&honest(), &[], &facts(4000), Amount::ZERO, &[sums], &state, &NoAttributes)
            .unwrap()
            .entry
            .parts;
        prop_assert_eq!((parts.of(&miner(1)), parts.of(&miner(2))), (Amount(1000), Amount(3000)));
    }
}
