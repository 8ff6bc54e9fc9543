//! Examples of the author's guide: what the page shows is the file that is compiled here, and the kit passes it. Changed to what the
//! page warns of, it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "pages/listed_fee.rs"]
mod listed_fee;
mod native;
#[path = "pages/short_and_long.rs"]
mod short_and_long;

use listed_fee::ListedFee;
use millpond_conformance::{Options, Report, Status, fee, scheme};
use millpond_contracts::payout::{FeePolicy, Fees, Income, PayoutScheme};
use millpond_contracts::{CallError, Done, Outcome, Setting, Settings};
use millpond_sdk::fee as sdk;
use millpond_sdk::payout::{Allocation, Scheme, State, Terms, Totals};
use millpond_types::Digest;
use short_and_long::ShortAndLong;
use std::sync::Arc;

const PAGE: &str = include_str!("../../../docs/plugin-author.md");

#[test]
fn the_guide_shows_what_is_tested_here() {
    for source in [include_str!("pages/listed_fee.rs"), include_str!("pages/short_and_long.rs")] {
        assert!(
            PAGE.contains(&format!("```rust\n{source}```\n")),
            "docs/plugin-author.md does not show:\n{source}"
        );
    }
}

/// The page's policy, run natively.
struct Listed;

fn done<T>(value: Result<T, String>) -> Outcome<T> {
    let error = |message| CallError::Plugin { function: "native".to_owned(), message };
    value.map(|value| Done { value, fuel_limit: 1, fuel_used: 1 }).map_err(error)
}

fn settings(given: &Settings) -> sdk::Settings {
    let value = |setting: &Setting| match setting {
        Setting::Flag(flag) => sdk::Setting::Flag(*flag),
        Setting::Int(number) => sdk::Setting::Int(*number),
        Setting::Text(text) => sdk::Setting::Text(text.clone()),
    };
    given.iter().map(|(key, setting)| (key.clone(), value(setting))).collect()
}

impl FeePolicy for Listed {
    fn digest(&self) -> Digest {
        Digest([1; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done(Ok(<ListedFee as sdk::FeePolicy>::schema()))
    }
    fn describe(&self, given: &Settings) -> Outcome<Vec<String>> {
        done(<ListedFee as sdk::FeePolicy>::describe(settings(given)))
    }
    fn fees(
        &self,
        given: &Settings,
        income: &Income,
        miner: &[u64],
        amount: &[u64],
        attributes: &[Vec<u64>],
    ) -> Outcome<Fees> {
        let Income { key, gross, seq, time_ms, coord, finder, .. } = income.clone();
        let income = sdk::Income { key, gross, seq, time_ms, coord, finder };
        let (amount, attributes) = (amount.to_vec(), attributes.to_vec());
        let fees =
            <ListedFee as sdk::FeePolicy>::fees(settings(given), income, miner.to_vec(), amount, attributes);
        done(fees.map(|(fee, rebate)| Fees { fee, rebate }))
    }
}

#[test]
fn a_policy_with_a_column_and_a_word_keeps_every_property() {
    let given: Settings = vec![
        ("basis_points".to_owned(), Setting::Int(200)),
        ("list".to_owned(), Setting::Text("green".to_owned())),
    ];
    assert_eq!(Listed.describe(&given).unwrap().value, ["list:green"]);
    assert_eq!(Listed.describe(&Settings::new()).unwrap().value, ["list:vip"]);
    // One column for the list, one row in it for each miner.
    let listed = vec![vec![0, 50, 70_000]];
    let fees = Listed.fees(&given, &Income::default(), &[1, 2, 3], &[10_000; 3], &listed).unwrap().value;
    assert_eq!((fees.fee, fees.rebate), (vec![200, 50, 10_000], vec![0; 3]));
    assert!(Listed.fees(&given, &Income::default(), &[1], &[10_000], &[]).is_err(), "without its column");
    let report = fee::test(&Listed, &given, Options { seed: 3, cases: 60, miners: 2_000 });
    assert!(report.passed(), "{report}");
}

fn tested<S: Scheme + 'static>() -> Report {
    let scheme: Arc<dyn PayoutScheme> = Arc::new(native::Native::<S>::new(Digest([2; 32])));
    scheme::test("page", &scheme, &Settings::new(), Options { seed: 7, cases: 60, miners: 2_000 })
}

#[test]
fn two_windows_that_are_rounded_once_keep_what_is_claimed() {
    let report = tested::<ShortAndLong>();
    assert!(report.passed(), "{report}");
    for claimed in ["scale", "monotone", "hopping-neutral"] {
        assert!(matches!(report.of(claimed), Some(Status::Pass(_))), "{claimed}: {report}");
    }
}

/// The same windows, each of them divided and rounded by itself.
struct RoundedTwice;

impl Scheme for RoundedTwice {
    fn schema() -> String {
        ShortAndLong::schema()
    }
    fn describe(settings: sdk::Settings) -> Result<Terms, String> {
        ShortAndLong::describe(settings)
    }
    fn allocate(
        _: sdk::Settings,
        income: sdk::Income,
        windows: Vec<Totals>,
        _: State,
    ) -> Result<Allocation, String> {
        let long = income.gross / 4;
        let mut given = std::collections::BTreeMap::<u64, u64>::new();
        for (gross, window) in [income.gross - long, long].into_iter().zip(&windows) {
            let part = Allocation::split(gross, window)?;
            for (miner, amount) in part.miner.into_iter().zip(part.amount) {
                *given.entry(miner).or_default() += amount;
            }
        }
        Allocation::of(income.gross, given)
    }
}

#[test]
fn two_windows_that_are_rounded_each_break_what_a_unit_is_allowed() {
    let report = tested::<RoundedTwice>();
    let Some(Status::Fail(example)) = report.of("permutation") else { panic!("{report}") };
    assert!(example.contains("a miner gets") || example.contains("renam"), "{example}");
}
