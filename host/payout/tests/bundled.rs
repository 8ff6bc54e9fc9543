//! The bundled components, in their sandbox, through every native check.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{facts, name_of, window};
use millpond_contracts::{Setting, Settings, load_fee_policy, load_scheme};
use millpond_disk::SimDisk;
use millpond_ledger::{Account, Entry, Ledger, Owner, Posting, Reversal};
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
    allocate(scheme, &[flat_fee(100)], income, Amount::ZERO, &[sums], &state, &NoAttributes).unwrap()
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
                allocate(scheme, &[flat_fee(100)], &facts, Amount::ZERO, &sums, &state, &NoAttributes);
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
        let accrual = accrue(&pps, &[], run, reserve, &state, &NoAttributes).unwrap();
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

/// Runs a scheme of 0.2 over seven blocks of 60 shares each, through a ledger; the fifth block is lost, the others mature.
/// Gives what was credited by shares, and every division.
fn booked(scheme: &BoundScheme, reserve: i128) -> (u64, Vec<millpond_ledger::IncomeAllocated>) {
    let ledger = Ledger::open(Arc::new(SimDisk::new()), Path::new("ledger")).unwrap();
    let posting = |account, amount| Posting { account, amount };
    let postings =
        vec![posting(Account::Wallet, reserve), posting(Account::Payable(Owner::Reserve), -reserve)];
    let (by, reason) = ("operator".to_owned(), "reserve".to_owned());
    ledger.append(UnixMillis(1), Entry::Adjustment { postings, by, reason }).unwrap();
    let fee = flat_fee(0);
    let mut state = SchemeState::new(scheme.terms());
    let (mut credited, mut divided) = (0, Vec::new());
    let add = |entry: Entry| {
        ledger.append(UnixMillis(1), entry).unwrap();
        let totals = ledger.totals();
        assert!(totals.conserved, "{totals:?}");
    };
    let all: Vec<AccruedShare> = shares(420)
        .into_iter()
        .map(|share| AccruedShare {
            network: WorkSum(240),
            coord: share.seq.0 / 25,
            subsidy: Some(Amount(300_000_000)),
            ..share
        })
        .collect();
    for (number, round) in (1_u64..).zip(all.chunks(60)) {
        for run in round.chunks(23) {
            let reserve = ledger.payable(&Owner::Reserve);
            let accrual =
                accrue(scheme, std::slice::from_ref(&fee), run, reserve, &state, &NoAttributes).unwrap();
            assert_eq!(accrual.shares, run.len(), "the reserve is spent");
            let entry = accrual.entry.unwrap();
            let Entry::Accrued { state: change, parts, .. } = &entry else { panic!() };
            state.apply(change, None).unwrap();
            credited += parts.total().0;
            add(entry);
        }
        let income = IncomeFacts {
            subsidy: Some(Amount(300_000_000)),
            reserve: ledger.payable(&Owner::Reserve),
            number,
            finder: Some(round[59].miner),
            key: millpond_ledger::IncomeKey::new(vec![number as u8]).unwrap(),
            ..facts(312_500_000)
        };
        let windows: Vec<WindowSums> = scheme.terms().windows.iter().map(|_| window(&[1, 2, 3])).collect();
        let decision = allocate(
            scheme,
            std::slice::from_ref(&fee),
            &income,
            Amount::ZERO,
            &windows,
            &state,
            &NoAttributes,
        )
        .unwrap();
        assert_eq!(decision.audit[0].package, "millpond:payout@0.2.0");
        let (key, entry) = (decision.entry.key.clone(), decision.entry);
        state.apply(&entry.state, Some(&key)).unwrap();
        divided.push(entry.clone());
        add(Entry::IncomeAllocated(entry));
        if number == 5 {
            use millpond_contracts::payout::Reversal as Asked;
            let how = match scheme.terms().reversal {
                Asked::Drop => Reversal::Drop,
                Asked::Restore => Reversal::Restore,
                Asked::Keep => Reversal::Keep,
                Asked::KeepReserve => Reversal::KeepReserve,
            };
            add(Entry::Reversed { key, how, proof: "another block".to_owned() });
        } else {
            add(Entry::Matured { key });
        }
    }
    (credited, divided)
}

#[test]
fn schemes_that_credit_shares_are_booked_to_the_unit() {
    let text = |name: &str, value: &str| (name.to_owned(), Setting::Text(value.to_owned()));
    let exact =
        |reward: u128| shares(420).iter().map(|share| u128::from(share.work.0) * reward).sum::<u128>() / 240;
    for (name, settings, reward) in [
        ("fpps", vec![], 312_500_000),
        ("fpps", vec![text("fees", "none")], 300_000_000),
        ("fpps", vec![text("fees", "blocks")], 312_500_000),
        ("pps-plus", vec![], 300_000_000),
    ] {
        let (credited, divided) = booked(&scheme(name, settings.clone()), i128::from(u64::MAX / 2));
        assert!(u128::from(credited).abs_diff(exact(reward)) <= 5, "{name} {settings:?}: {credited}");
        for income in divided {
            let filled = if name == "fpps" { 312_500_000 } else { 300_000_000 };
            assert_eq!(income.parts.of(&Owner::Reserve), Amount(filled), "{name}");
        }
    }
}

#[test]
fn what_shares_are_owed_is_paid_by_blocks_and_drawn_from_nobody() {
    for name in ["smpps", "esmpps"] {
        owed_is_paid(name);
    }
}

fn owed_is_paid(name: &str) {
    let (credited, divided) = booked(&scheme(name, vec![]), 0);
    assert_eq!(credited, 0);
    let paid = |income: &millpond_ledger::IncomeAllocated| -> u64 {
        (1..=5).map(|id| income.parts.of(&miner(id)).0).sum()
    };
    // Each round is worth a block within some hundredths: what is owed is paid, or all of the block but dust.
    assert!(divided.iter().all(|income| paid(income) > 250_000_000 && income.reserve_in == Amount::ZERO));
    assert!(divided.iter().all(|income| income.parts.of(&Owner::Fee(name_of("operator"))) == Amount::ZERO));
}

#[test]
fn a_round_is_divided_whole_by_scores_that_fall_with_time() {
    let (credited, divided) = booked(&scheme("slush", vec![]), 0);
    assert_eq!(credited, 0);
    for income in divided {
        let paid: u64 = (1..=5).map(|id| income.parts.of(&miner(id)).0).sum();
        assert_eq!((Amount(paid), income.reserve_in), (income.parts.total(), Amount::ZERO));
    }
}

#[test]
fn scores_are_booked_with_the_operators_part_and_what_he_adds() {
    let number = |name: &str, value: i64| (name.to_owned(), Setting::Int(value));
    let operator = Owner::Fee(name_of("operator"));
    let (credited, divided) = booked(&scheme("geometric", vec![]), 0);
    assert_eq!(credited, 0);
    assert!(divided.iter().all(|income| income.reserve_in == Amount::ZERO));
    assert!(divided.iter().all(|income| income.parts.of(&operator) > Amount::ZERO));
    let (_, divided) = booked(&scheme("dgm", vec![]), 1_000_000_000);
    assert!(divided.iter().any(|income| income.parts.of(&operator) > Amount::ZERO));
    // A round of an expected block's work every time: with a fee below zero each block lacks something.
    let settings = vec![number("c_bp", 1000), number("f_ppm", -100_000), number("o_bp", 5000)];
    let (_, divided) = booked(&scheme("dgm", settings), 10_000_000_000);
    assert!(divided.iter().any(|income| income.reserve_in > Amount::ZERO));
    for income in divided {
        assert_eq!(income.parts.total(), Amount(312_500_000 + income.reserve_in.0));
    }
}
