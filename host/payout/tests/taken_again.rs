//! Shares that are given again when an income is lost: the state is then the one of a history without that income.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_contracts::payout::{
    Allocation, Batch, Income, PayoutScheme, Reversal, State, Terms, Totals, Version,
};
use millpond_contracts::{Outcome, Settings};
use millpond_ledger::{Entry, IncomeKey};
use millpond_payout::{
    AccruedShare, BoundScheme, IncomeFacts, NoAttributes, PayoutError, Rule, SchemeState, accrue, allocate,
};
use millpond_types::{Amount, Digest, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use proptest::prelude::*;
use std::sync::Arc;

/// A scheme of contract 0.2 in which everything depends on the order: a share multiplies its miner's cell, an income
/// adds to all cells, and the memo counts both.
struct Ordered(Terms);

const MODULUS: u64 = 1_000_003;

impl PayoutScheme for Ordered {
    fn digest(&self) -> Digest {
        Digest([9; 32])
    }
    fn version(&self) -> Version {
        Version::V0_2
    }
    fn schema(&self) -> Outcome<String> {
        done("{}".to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Terms> {
        done(self.0.clone())
    }
    fn allocate(&self, _: &Settings, income: &Income, _: &[Totals], state: &State) -> Outcome<Allocation> {
        let cells = state.cells.iter().map(|cell| (cell * 5 + income.gross) % MODULUS + 1).collect();
        let state = State { memo: counted(&state.memo, 1000), miner: state.miner.clone(), cells };
        done(Allocation { rest: income.gross, state, ..Allocation::default() })
    }
    fn accrues(&self) -> bool {
        true
    }
    fn accrue(&self, _: &Settings, batch: &Batch, state: &State) -> Outcome<Allocation> {
        let mut cells = std::collections::BTreeMap::new();
        for (miner, work) in batch.miner.iter().zip(&batch.work) {
            let before = || state.miner.iter().position(|m| m == miner).map_or(1, |at| state.cells[at]);
            let cell = cells.entry(*miner).or_insert_with(before);
            *cell = (*cell * 3 + work) % MODULUS + 1;
        }
        let memo = counted(&state.memo, batch.miner.len() as u64);
        let (miner, cells) = cells.into_iter().unzip();
        done(Allocation { state: State { memo, miner, cells }, ..Allocation::default() })
    }
}

fn counted(memo: &[u8], more: u64) -> Vec<u8> {
    let before = memo.try_into().map_or(0, u64::from_le_bytes);
    (before + more).to_le_bytes().to_vec()
}

fn ordered() -> BoundScheme {
    let claims = Vec::new();
    let terms = Terms {
        windows: Vec::new(),
        cells: 1,
        batch: 100,
        reversal: Reversal::Restore,
        claims,
        state_format: "ordered-1".to_owned(),
        ..terms()
    };
    BoundScheme::new("ordered", Arc::new(Ordered(terms)), Settings::new()).unwrap()
}

fn share(seq: u64) -> AccruedShare {
    AccruedShare {
        seq: ShareSeq(seq),
        miner: MinerId(seq * seq % 5),
        work: Work(seq % 7 + 1),
        network: WorkSum(1_000_000),
        time: UnixMillis(seq),
        coord: seq,
        reward: Amount(50),
        subsidy: None,
    }
}

/// Gives shares up to this one to the scheme, in batches of at most `batch`.
fn give(scheme: &BoundScheme, state: &mut SchemeState, until: u64, batch: u64) {
    let mut next = state.given().map_or(1, |given| given.0 + 1);
    while next <= until {
        let last = until.min(next + batch - 1);
        let shares: Vec<_> = (next..=last).map(share).collect();
        let accrual = accrue(scheme, &[], &shares, Amount::ZERO, state, &NoAttributes).unwrap();
        let Some(Entry::Accrued { state: change, .. }) = accrual.entry else { panic!("{accrual:?}") };
        state.apply(&change, None).unwrap();
        next = last + 1;
    }
}

fn key(number: u64) -> IncomeKey {
    IncomeKey::new(number.to_be_bytes().to_vec()).unwrap()
}

fn divide(scheme: &BoundScheme, state: &mut SchemeState, number: u64, end: u64) {
    let facts = IncomeFacts { key: key(number), number, end: ShareSeq(end), ..facts(100 + number) };
    let decision = allocate(scheme, &[], &facts, Amount::ZERO, &[], state, &NoAttributes).unwrap();
    state.apply(&decision.entry.state, Some(&facts.key)).unwrap();
}

proptest! {
    /// Blocks at some shares; some of them lost, in any order, at any later moment.
    #[test]
    fn what_was_lost_leaves_nothing_behind(
        rounds in prop::collection::vec(1_u64..12, 1..7),
        losses in prop::collection::vec((0_usize..7, 0_usize..7), 0..7),
        batch in 1_u64..6,
        tail in 0_u64..9,
    ) {
        let scheme = ordered();
        prop_assert!(scheme.takes_again() && !scheme.forgets_shares());
        let ends: Vec<u64> = rounds.iter().scan(0, |end, more| { *end += more; Some(*end) }).collect();
        let newest = ends.last().unwrap() + tail;
        let mut state = SchemeState::new(scheme.terms());
        let mut lost = vec![false; ends.len()];
        for (at, end) in ends.iter().enumerate() {
            give(&scheme, &mut state, *end, batch);
            divide(&scheme, &mut state, at as u64, *end);
            give(&scheme, &mut state, (*end + tail).min(ends.get(at + 1).copied().unwrap_or(newest)), batch);
            // Lost after this block: any of those before it that still stands.
            for (_, which) in losses.iter().filter(|(after, which)| *after == at && *which <= at) {
                if std::mem::replace(&mut lost[*which], true) {
                    continue;
                }
                let given = state.given().unwrap();
                state.restore_before(&key(*which as u64)).unwrap();
                while let Some(next) = state.again().first().cloned() {
                    let number = u64::from_be_bytes(next.as_bytes().try_into().unwrap());
                    give(&scheme, &mut state, ends[number as usize], batch + 1);
                    divide(&scheme, &mut state, number, ends[number as usize]);
                }
                give(&scheme, &mut state, given.0, batch + 1);
                // As a restart reads it.
                state = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
            }
        }
        give(&scheme, &mut state, newest, batch);

        let mut straight = SchemeState::new(scheme.terms());
        for (at, end) in ends.iter().enumerate().filter(|(at, _)| !lost[*at]) {
            give(&scheme, &mut straight, *end, 100);
            divide(&scheme, &mut straight, at as u64, *end);
        }
        give(&scheme, &mut straight, newest, 100);
        for state in [&mut state, &mut straight] {
            // What could be undone is no part of what is owed.
            (0..ends.len() as u64).for_each(|number| state.settle(&key(number)));
        }
        prop_assert_eq!(&state, &straight);
    }
}

#[test]
fn a_loss_of_what_is_not_kept_is_an_error_and_no_silence() {
    let scheme = ordered();
    let mut state = SchemeState::new(scheme.terms());
    give(&scheme, &mut state, 3, 10);
    divide(&scheme, &mut state, 0, 3);
    state.settle(&key(0));
    assert!(matches!(state.restore_before(&key(0)), Err(PayoutError::Input(_))));
}

#[test]
fn incomes_that_can_be_undone_before_another_are_named() {
    let scheme = ordered();
    let mut state = SchemeState::new(scheme.terms());
    for number in 0..3 {
        give(&scheme, &mut state, 3 + number, 10);
        divide(&scheme, &mut state, number, 3 + number);
    }
    assert_eq!(state.before(&key(2)).cloned().collect::<Vec<_>>(), [key(0), key(1)]);
    assert_eq!(state.before(&key(0)).count(), 0);
    assert_eq!(state.before(&key(7)).count(), 0);
}

#[test]
fn amounts_for_shares_that_may_be_given_again_are_refused() {
    let mut terms = ordered().terms().clone();
    terms.reserve = true;
    struct Paying(Ordered);
    impl PayoutScheme for Paying {
        fn digest(&self) -> Digest {
            self.0.digest()
        }
        fn version(&self) -> Version {
            self.0.version()
        }
        fn schema(&self) -> Outcome<String> {
            self.0.schema()
        }
        fn describe(&self, settings: &Settings) -> Outcome<Terms> {
            self.0.describe(settings)
        }
        fn allocate(&self, s: &Settings, i: &Income, w: &[Totals], state: &State) -> Outcome<Allocation> {
            self.0.allocate(s, i, w, state)
        }
        fn accrues(&self) -> bool {
            true
        }
        fn accrue(&self, settings: &Settings, batch: &Batch, state: &State) -> Outcome<Allocation> {
            let mut given = self.0.accrue(settings, batch, state)?;
            (given.value.miner, given.value.amount) = (vec![batch.miner[0]], vec![1]);
            given.value.from_reserve = 1;
            Ok(given)
        }
    }
    let scheme = BoundScheme::new("paying", Arc::new(Paying(Ordered(terms))), Settings::new()).unwrap();
    let state = SchemeState::new(scheme.terms());
    let refused = accrue(&scheme, &[], &[share(1)], Amount(100), &state, &NoAttributes);
    assert!(matches!(refused, Err(PayoutError::Broken { rule: Rule::Terms, .. })), "{refused:?}");
}
