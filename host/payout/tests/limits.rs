//! What a scheme or a fee policy may declare: the figures of the contract (wit/payout-0.1), at the edge and above it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_contracts::payout::{Allocation, Batch, FeePolicy, Fees, Income, State, Terms, Version};
use millpond_contracts::{Outcome, Settings};
use millpond_ledger::Entry;
use millpond_payout::{
    AccruedShare, BoundFee, BoundScheme, MAX_BATCH, MAX_CELLS, MAX_COLUMNS, MAX_WINDOWS, NoAttributes,
    PayoutError, Recipient, Rule, SchemeState, accrue,
};
use millpond_types::{Amount, Digest, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use std::sync::Arc;

/// What `describe` of a scheme with these terms leads to.
fn declares(terms: Terms) -> Result<BoundScheme, PayoutError> {
    let fake = Fake {
        terms,
        version: 1,
        contract: Version::V0_1,
        allocate: Box::new(|income, windows, _| split(income.gross, &windows[0])),
        accrue: Some(Box::new(|_: &Batch, _: &State| Allocation::default())),
    };
    BoundScheme::new("fake", Arc::new(fake), Settings::new())
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, PayoutError>, says: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, PayoutError::Broken { rule: Rule::Terms, .. }), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn the_figures_are_those_of_the_contract() {
    let wit = include_str!("../../../wit/payout-0.1/payout.wit");
    assert_eq!((MAX_WINDOWS, MAX_CELLS, MAX_BATCH, MAX_COLUMNS), (8, 8, 65_536, 8));
    assert!(wit.contains("handed to `allocate` in this order. At most 8."));
    assert!(wit.contains("u64 cells per miner that the host keeps for the scheme, 0 to 8."));
    assert!(wit.contains("Rows per `accrue` call, at most 65,536;"));
    assert!(wit.contains("`seniority` in days). At most 8."));
}

#[test]
fn a_scheme_may_ask_for_eight_windows() {
    let windows = |count| Terms { windows: vec![terms().windows[0]; count], ..terms() };
    declares(windows(MAX_WINDOWS)).unwrap();
    refused(declares(windows(MAX_WINDOWS + 1)), "9 windows, at most 8");
}

#[test]
fn a_scheme_may_keep_eight_cells_for_each_miner() {
    declares(Terms { cells: MAX_CELLS, ..terms() }).unwrap();
    refused(declares(Terms { cells: MAX_CELLS + 1, ..terms() }), "9 cells per miner, at most 8");
}

#[test]
fn a_scheme_may_take_65536_shares_at_once() {
    declares(Terms { batch: MAX_BATCH, reserve: true, ..terms() }).unwrap();
    refused(declares(Terms { batch: MAX_BATCH + 1, reserve: true, ..terms() }), "at most 65536");
}

struct Wants(usize);

impl FeePolicy for Wants {
    fn digest(&self) -> Digest {
        Digest([7; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done("{}".to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Vec<String>> {
        done(vec!["work".to_owned(); self.0])
    }
    fn fees(&self, _: &Settings, _: &Income, _: &[u64], _: &[u64], _: &[Vec<u64>]) -> Outcome<Fees> {
        done(Fees { fee: Vec::new(), rebate: Vec::new() })
    }
}

#[test]
fn a_fee_policy_may_ask_for_eight_columns() {
    let wants = |count| {
        let to = vec![Recipient { name: name_of("operator"), weight: 1 }];
        BoundFee::new("fee", Arc::new(Wants(count)), Settings::new(), to)
    };
    assert_eq!(wants(MAX_COLUMNS).unwrap().columns().len(), 8);
    refused(wants(MAX_COLUMNS + 1), "9 columns, at most 8");
}

fn shares(count: u64) -> Vec<AccruedShare> {
    let share = |at| AccruedShare {
        seq: ShareSeq(at),
        miner: MinerId(1),
        work: Work(10),
        network: WorkSum(1000),
        time: UnixMillis(at),
        coord: 1,
        reward: Amount(5000),
        subsidy: None,
    };
    (1..=count).map(share).collect()
}

/// A scheme that takes each share without a reserve: it counts in a cell, and credits as told.
fn counting(credit: u64) -> BoundScheme {
    let accrue = move |batch: &Batch, state: &State| {
        let known = state.cells.first().copied().unwrap_or(0);
        let mut given = Allocation::default();
        if credit > 0 {
            given.miner.push(batch.miner[0]);
            given.amount.push(credit);
        }
        given.state.miner.push(batch.miner[0]);
        given.state.cells.push(known + batch.miner.len() as u64);
        given
    };
    let terms = Terms { batch: 100, cells: 1, state_format: "count-1".to_owned(), ..terms() };
    let allocate = Box::new(|income: &Income, _: &[_], _: &State| Allocation {
        rest: income.gross,
        ..Allocation::default()
    });
    bound(Fake { terms, version: 1, contract: Version::V0_1, allocate, accrue: Some(Box::new(accrue)) })
}

#[test]
fn a_scheme_without_a_reserve_may_score_shares_but_not_pay_them() {
    let scheme = counting(0);
    let mut state = SchemeState::new(scheme.terms());
    for batch in [shares(3), shares(5)] {
        let given = accrue(&scheme, &[], &batch, Amount::ZERO, &state, &NoAttributes).unwrap();
        let Some(Entry::Accrued { parts, state: change, .. }) = given.entry else { panic!("no entry") };
        assert_eq!(parts.total(), Amount::ZERO);
        state.apply(&change, None).unwrap();
    }
    assert_eq!(state.miners().collect::<Vec<_>>(), [MinerId(1)]);
    let paying = counting(1);
    let state = SchemeState::new(paying.terms());
    refused(
        accrue(&paying, &[], &shares(3), Amount(1_000), &state, &NoAttributes),
        "it credits shares without declaring a reserve",
    );
}
