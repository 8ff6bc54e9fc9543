//! The kit against fee and vote policies: bundled ones pass, bad ones fail the property that they break.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_conformance::{Options, Report, Status, fee, vote};
use millpond_contracts::payout::{FeePolicy, Fees, Income};
use millpond_contracts::vote::{Ballot, Pick, User, VotePolicy};
use millpond_contracts::{Done, Outcome, Setting, Settings, load_fee_policy, load_vote_policy};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::Digest;
use std::sync::Arc;

const QUICK: Options = Options { seed: 3, cases: 100, miners: 5_000 };

fn sandbox() -> (Sandbox, Arc<dyn LogSink>) {
    (Sandbox::new(None, Compiler::InProcess).unwrap(), Arc::new(TracingSink))
}

fn done<T>(value: T) -> Outcome<T> {
    Ok(Done { value, fuel_limit: 1000, fuel_used: 10 })
}

fn broken(report: &Report, property: &str) -> String {
    match report.of(property) {
        Some(Status::Fail(example)) => example.clone(),
        other => panic!("{property}: {other:?} in\n{report}"),
    }
}

#[test]
fn the_bundled_fee_keeps_every_property_at_any_rate() {
    let (sandbox, sink) = sandbox();
    let bytes = millpond_bundled::get("flat-fee").unwrap().bytes;
    let policy = load_fee_policy(&sandbox, "flat-fee", bytes, &sink).unwrap();
    for points in [0, 1, 150, 10_000] {
        let settings = vec![("basis_points".to_owned(), Setting::Int(points))];
        let report = fee::test(policy.as_ref(), &settings, QUICK);
        assert!(report.passed(), "{report}");
    }
    let refused = fee::test(policy.as_ref(), &vec![("basis_points".to_owned(), Setting::Int(-1))], QUICK);
    assert!(broken(&refused, "columns").contains("`basis_points`"));
}

#[test]
fn the_bundled_vote_policy_keeps_every_property() {
    let (sandbox, sink) = sandbox();
    let bytes = millpond_bundled::get("follow-delegate").unwrap().bytes;
    let policy = load_vote_policy(&sandbox, "follow-delegate", bytes, &sink).unwrap();
    let report = vote::test(policy.as_ref(), &Settings::new(), QUICK);
    assert!(report.passed(), "{report}");
}

struct BadFee(fn(&[u64], &[u64]) -> Fees);

impl FeePolicy for BadFee {
    fn digest(&self) -> Digest {
        Digest([6; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done("no JSON".to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Vec<String>> {
        done(Vec::new())
    }
    fn fees(&self, _: &Settings, _: &Income, miner: &[u64], amount: &[u64], _: &[Vec<u64>]) -> Outcome<Fees> {
        done((self.0)(miner, amount))
    }
}

fn fees(of: fn(&[u64], &[u64]) -> Fees) -> Report {
    fee::test(&BadFee(of), &Settings::new(), QUICK)
}

#[test]
fn a_fee_above_its_amount_is_found() {
    let report = fees(|_, amount| Fees { fee: vec![100; amount.len()], rebate: vec![0; amount.len()] });
    assert!(broken(&report, "within").contains("a fee of 100"));
    assert!(broken(&report, "schema").contains("no JSON"));
}

#[test]
fn a_fee_by_name_is_found() {
    let report = fees(|miner, amount| Fees {
        fee: miner
            .iter()
            .zip(amount)
            .map(|(miner, amount)| if *miner == 1 { 0 } else { amount / 3 })
            .collect(),
        rebate: vec![0; amount.len()],
    });
    assert!(broken(&report, "permutation").starts_with("miner "));
}

#[test]
fn a_fee_that_depends_on_who_else_is_there_is_found() {
    let report = fees(|_, amount| Fees {
        fee: amount.iter().map(|one| one / (amount.len() as u64 + 1)).collect(),
        rebate: vec![0; amount.len()],
    });
    assert!(broken(&report, "alone").contains("beside another"));
}

/// One percent, but for whom a cheat favours or charges twice.
struct Cheating(&'static str);

const CHEATS: [(&str, &[&str]); 12] = [
    ("none", &[]),
    ("name", &["permutation", "alike"]),
    ("finder", &["permutation", "alike", "finder-swap"]),
    ("height", &["drift"]),
    ("date", &["drift"]),
    ("count", &["drift"]),
    ("key", &["drift"]),
    ("largest", &["apart"]),
    ("both", &["drift"]),
    ("rich", &["even"]),
    ("digit", &["even"]),
    ("sleeper", &[]),
];

impl FeePolicy for Cheating {
    fn digest(&self) -> Digest {
        Digest([9; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done(r#"{"type":"object","properties":{},"additionalProperties":false}"#.to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Vec<String>> {
        done(Vec::new())
    }
    fn fees(
        &self,
        _: &Settings,
        income: &Income,
        miner: &[u64],
        amount: &[u64],
        _: &[Vec<u64>],
    ) -> Outcome<Fees> {
        let largest = amount.iter().max();
        let twice = |miner: u64, amount: u64| match self.0 {
            "name" => miner % 2 == 1,
            "finder" => income.finder == Some(miner),
            "height" => income.coord >= 950_123,
            "date" => income.time_ms >= 1_893_456_000_000,
            "count" => income.seq >= 10_000,
            // In every pool that has run for a while.
            "both" => income.seq >= 1_000 && income.coord >= 1_000,
            "key" => income.key.first().is_some_and(|first| first % 4 == 1),
            "largest" => Some(&amount) == largest,
            "rich" => amount >= 1 << 40,
            "digit" => amount % 10 == 7,
            // By a hash of the key, in one of 65,536 incomes.
            "sleeper" => {
                income
                    .key
                    .iter()
                    .fold(7_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
                    >> 16
                    == 1
            }
            _ => false,
        };
        let part = |(miner, amount): (&u64, &u64)| {
            let percent = if twice(*miner, *amount) { 2 } else { 1 };
            u64::try_from(u128::from(*amount) * percent / 100).unwrap()
        };
        let fee = miner.iter().zip(amount).map(part);
        done(Fees { fee: fee.collect(), rebate: vec![0; amount.len()] })
    }
}

#[test]
fn exactly_these_properties_catch_each_cheat_of_a_fee_policy() {
    let mut wrong = Vec::new();
    for (cheat, expected) in CHEATS {
        let report = fee::test_with(&Cheating(cheat), &Settings::new(), QUICK, &[950_123, 1_893_456_000_000]);
        let failed: Vec<&str> = report.failed().map(|verdict| verdict.property).collect();
        if failed != expected {
            wrong.push(format!("{cheat}: {failed:?} and not {expected:?}\n{report}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One that asks for this column.
struct Asking(&'static str);

impl FeePolicy for Asking {
    fn digest(&self) -> Digest {
        Digest([7; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done("{}".to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Vec<String>> {
        done(vec![self.0.to_owned()])
    }
    fn fees(&self, _: &Settings, _: &Income, _: &[u64], amount: &[u64], _: &[Vec<u64>]) -> Outcome<Fees> {
        done(Fees { fee: vec![0; amount.len()], rebate: vec![0; amount.len()] })
    }
}

#[test]
fn a_column_that_no_pool_has_is_found() {
    for name in ["seniority", "vip", "list:", ""] {
        let report = fee::test(&Asking(name), &Settings::new(), QUICK);
        assert!(broken(&report, "columns").starts_with(&format!("a pool has no column {name:?}")));
    }
    for (name, detail) in [
        ("reserve", "reserve"),
        ("hashrate", "hashrate"),
        ("list:vip", "list:vip; the operator must give the lists vip"),
    ] {
        let report = fee::test(&Asking(name), &Settings::new(), QUICK);
        assert!(matches!(report.of("columns"), Some(Status::Pass(told)) if told == detail), "{report}");
    }
}

struct BadVote(fn(&Ballot, &User) -> Vec<Pick>);

impl VotePolicy for BadVote {
    fn digest(&self) -> Digest {
        Digest([8; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done(r#"{"type":"object","properties":{"x":{"description":"of no type"}}}"#.to_owned())
    }
    fn decide(&self, _: &Settings, ballot: &Ballot, user: &User) -> Outcome<Vec<Pick>> {
        done((self.0)(ballot, user))
    }
}

#[test]
fn votes_that_depend_on_other_tickets_or_strangers_are_found() {
    let by_count = |_: &Ballot, user: &User| {
        vec![Pick { topic: 0, ticket: None, choice: (user.tickets.len() % 2) as u16, reason: String::new() }]
    };
    let report = vote::test(&BadVote(by_count), &Settings::new(), QUICK);
    assert!(broken(&report, "tickets-apart").contains("beside another ticket"));
    assert!(broken(&report, "schema").contains("x: the plugin's schema needs a type"));

    let by_strangers = |ballot: &Ballot, _: &User| {
        vec![Pick {
            topic: 0,
            ticket: None,
            choice: (ballot.delegates.len() % 2) as u16,
            reason: String::new(),
        }]
    };
    broken(&vote::test(&BadVote(by_strangers), &Settings::new(), QUICK), "strangers");
}
