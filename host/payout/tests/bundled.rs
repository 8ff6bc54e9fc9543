//! The bundled components, in their sandbox, through every native check.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{facts, name_of, window};
use millpond_contracts::{Setting, Settings, load_fee_policy, load_scheme};
use millpond_disk::SimDisk;
use millpond_ledger::{Account, Entry, Ledger, Owner, Posting};
use millpond_payout::{
    AccruedShare, BoundFee, BoundScheme, IncomeFacts, NoAttributes, Recipient, SchemeState, WindowSums,
    accrue, allocate,
};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use proptest::prelude::*;
use std::path::Path;
use std::sync::{Arc, LazyLock};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

fn sink() -> Arc<dyn LogSink> {
    Arc::new(TracingSink)
}

fn scheme(name: &str, settings: Settings) -> BoundScheme {
    let bytes = millpond_bundled::get(name).unwrap().bytes;
    BoundScheme::new(name, load_scheme(&SANDBOX, name, bytes, &sink()).unwrap(), settings).unwrap()
}

fn flat_fee(points: i64) -> BoundFee {
    let bytes = millpond_bundled::get("flat-fee").unwrap().bytes;
    let plugin = load_fee_policy(&SANDBOX, "flat-fee", bytes, &sink()).unwrap();
    let to = vec![Recipient { name: name_of("operator"), weight: 1 }];
    BoundFee::new("flat-fee", plugin, vec![("basis_points".to_owned(), Setting::Int(points))], to).unwrap()
}

fn miner(id: u64) -> Owner {
    Owner::Miner(MinerId(id))
}

fn divide(scheme: &BoundScheme, income: &IncomeFacts, sums: WindowSums) -> millpond_payout::Decision {
    let state = SchemeState::new(scheme.terms());
    allocate(scheme, Some(&flat_fee(100)), income, Amount::ZERO, &[sums], &state, &NoAttributes).unwrap()
}

#[test]
fn solo_pays_the_finder_less_the_fee() {
    let parts = divide(&scheme("solo", vec![]), &facts(1_000_000), window(&[7])).entry.parts;
    assert_eq!(parts.of(&miner(10)), Amount(990_000));
    assert_eq!(parts.of(&Owner::Fee(name_of("operator"))), Amount(10_000));
}

#[test]
fn every_decision_says_which_bytes_made_it_and_what_it_cost() {
    let decision = divide(&scheme("prop", vec![]), &facts(1_000_000), window(&[1, 2, 3]));
    let digests: Vec<_> = decision.audit.iter().map(|record| record.component).collect();
    let of = |name| millpond_bundled::get(name).unwrap().digest;
    assert_eq!(digests, [of("prop"), of("prop"), of("flat-fee"), of("flat-fee")]);
    assert!(
        decision.audit.iter().all(|record| record.fuel_used > 0 && record.fuel_used <= record.fuel_limit)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn bundled_schemes_keep_every_rule(
        gross in 1..u64::MAX,
        work in proptest::collection::vec(1..u128::MAX / 64, 1..20),
        unfilled in prop_oneof![Just("share"), Just("carry")],
    ) {
        static SCHEMES: LazyLock<[BoundScheme; 5]> = LazyLock::new(|| {
            let unfilled = |how: &str| vec![("unfilled".to_owned(), Setting::Text(how.to_owned()))];
            [
                scheme("pplns", unfilled("share")),
                scheme("pplns", unfilled("carry")),
                scheme("prop", vec![]),
                scheme("pplns-window", vec![]),
                scheme("tides", vec![]),
            ]
        });
        let [share, carry, others @ ..] = &*SCHEMES;
        for scheme in others.iter().chain([if unfilled == "share" { share } else { carry }]) {
            let decision = divide(scheme, &facts(gross), window(&work));
            prop_assert_eq!(decision.entry.parts.total(), Amount(gross));
        }
    }

    #[test]
    fn schemes_that_pay_the_finder_keep_every_rule(
        gross in 1..u64::MAX,
        work in proptest::collection::vec((any::<u128>(), 8..128_u32), 1..20),
    ) {
        static SCHEMES: LazyLock<[BoundScheme; 2]> =
            LazyLock::new(|| [scheme("finder-bonus", vec![]), scheme("incentive-compatible", vec![])]);
        // Of every length, so that rounds are shorter than an expected block and longer.
        let work: Vec<u128> = work.into_iter().map(|(wide, shift)| (wide >> shift).max(1)).collect();
        for scheme in &*SCHEMES {
            let facts = facts(gross);
            let finder = WindowSums(facts.finder.iter().map(|miner| (*miner, 1)).collect());
            let state = SchemeState::new(scheme.terms());
            let sums = [window(&work), finder];
            let decision =
                allocate(scheme, Some(&flat_fee(100)), &facts, Amount::ZERO, &sums, &state, &NoAttributes);
            prop_assert_eq!(decision.unwrap().entry.parts.total(), Amount(gross));
        }
    }
}

fn shares(count: u64) -> Vec<AccruedShare> {
    let share = |seq: u64| AccruedShare {
        seq: ShareSeq(seq),
        miner: MinerId(seq % 5 + 1),
        work: Work(seq % 7 + 1),
        network: WorkSum(9973),
        // All in the same millisecond: a cursor by time would skip or repeat some at a page's edge.
        time: UnixMillis(1),
        coord: 1,
        reward: Amount(312_500_000),
        subsidy: None,
    };
    (1..=count).map(share).collect()
}

/// Credits all shares in batches of a size, through a ledger; gives what every miner has then.
fn credited(batch: usize, reserve: i128) -> Vec<Amount> {
    let pps = scheme("pps", vec![]);
    let ledger = Ledger::open(Arc::new(SimDisk::new()), Path::new("ledger")).unwrap();
    let deposit = |account, amount| Posting { account, amount };
    let postings =
        vec![deposit(Account::Wallet, reserve), deposit(Account::Payable(Owner::Reserve), -reserve)];
    let (by, reason) = ("operator".to_owned(), "reserve".to_owned());
    ledger.append(UnixMillis(1), Entry::Adjustment { postings, by, reason }).unwrap();
    let mut state = SchemeState::new(pps.terms());
    for run in shares(300).chunks(batch) {
        let reserve = ledger.payable(&Owner::Reserve);
        let accrual = accrue(&pps, None, run, reserve, &state, &NoAttributes).unwrap();
        let Some(entry) = accrual.entry else { break };
        let Entry::Accrued { state: change, .. } = &entry else { panic!() };
        state.apply(change, None).unwrap();
        // Said twice, counted once.
        ledger.append(UnixMillis(1), entry.clone()).unwrap();
        ledger.append(UnixMillis(1), entry).unwrap();
        if accrual.shares < run.len() {
            break;
        }
    }
    assert!(ledger.totals().conserved);
    (1..=5).map(|id| ledger.payable(&miner(id))).collect()
}

/// Invariant 9: cursors by unique sequence, not by timestamp.
#[test]
fn invariant_09_shares_of_one_millisecond_are_each_credited_once_in_whatever_batches() {
    let at_once = credited(300, i128::from(u64::MAX));
    let exact: u128 =
        shares(300).iter().map(|share| u128::from(share.work.0) * 312_500_000).sum::<u128>() / 9973;
    let sum: u64 = at_once.iter().map(|amount| amount.0).sum();
    assert!(u128::from(sum).abs_diff(exact) <= 5, "{sum} of {exact}");
    for batch in [1, 7, 64, 299] {
        assert_eq!(credited(batch, i128::from(u64::MAX)), at_once, "in batches of {batch}");
    }
}

#[test]
fn pps_credit_stops_when_the_reserve_is_spent() {
    let all: u64 = credited(300, i128::from(u64::MAX)).iter().map(|amount| amount.0).sum();
    let half = i128::from(all / 2);
    let spent: u64 = credited(64, half).iter().map(|amount| amount.0).sum();
    assert!(i128::from(spent) <= half);
    // The next share's credit would not have fitted: at most 7/9973 of the reward.
    assert!(half - i128::from(spent) <= 312_500_000 * 7 / 9973 + 1, "{spent} of {half}");
}
