//! The kit against schemes: bundled ones pass, and each known-bad one fails the property that it breaks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_conformance::{Options, Report, Status, scheme};
use millpond_contracts::payout::{
    Allocation, Batch, Edge, Income, Measure, PayoutScheme, Reversal, Span, State, Terms, Totals, Window,
};
use millpond_contracts::{Done, Outcome, Setting, Settings, load_scheme};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::Digest;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

const QUICK: Options = Options { seed: 7, cases: 60, miners: 2_000 };

fn bundled(name: &str, settings: &[(&str, Setting)], options: Options) -> Report {
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let component = millpond_bundled::get(name).unwrap().bytes;
    let scheme = load_scheme(&SANDBOX, name, component, &sink).unwrap();
    let settings: Settings = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    scheme::test(name, &scheme, &settings, options)
}

#[test]
fn bundled_schemes_keep_every_property() {
    let text = |value: &str| Setting::Text(value.into());
    let all: [(&str, &[(&str, Setting)]); 16] = [
        ("solo", &[]),
        ("prop", &[]),
        ("incentive-compatible", &[]),
        ("pps", &[]),
        ("pplns", &[]),
        ("pplns", &[("unfilled", text("carry")), ("window", Setting::Int(3000))]),
        ("pplns-window", &[]),
        ("pplns-window", &[("edge", text("whole")), ("window", Setting::Int(1500))]),
        ("pplns-window", &[("edge", text("cut"))]),
        ("pplns-window", &[("by", text("shares")), ("shares", Setting::Int(120))]),
        ("pplns-window", &[("by", text("time")), ("hours", Setting::Int(1))]),
        ("tides", &[]),
        ("tides", &[("window", Setting::Int(1000))]),
        ("finder-bonus", &[]),
        ("finder-bonus", &[("bonus", Setting::Int(0))]),
        ("finder-bonus", &[("bonus", Setting::Int(500)), ("window", Setting::Int(1000))]),
    ];
    for (name, settings) in all {
        let report = bundled(name, settings, QUICK);
        assert!(report.passed(), "{name} with {settings:?}:\n{report}");
    }
}

#[test]
fn bundled_schemes_divide_among_a_million_miners_within_their_limits() {
    for name in ["pplns", "pplns-window", "tides", "finder-bonus", "incentive-compatible"] {
        let report = bundled(name, &[], Options { cases: 1, ..Options::default() });
        let Some(Status::Pass(how)) = report.of("bounded") else { panic!("{name}:\n{report}") };
        assert!(how.starts_with("1000000 miners, fuel "), "{name}: {how}");
    }
}

#[test]
fn the_same_seed_gives_the_same_report() {
    assert_eq!(bundled("prop", &[], QUICK), bundled("prop", &[], QUICK));
}

type Divide = fn(&Income, &[Totals], &State) -> Allocation;

/// A native scheme: some way to divide, under some terms.
struct Bad {
    terms: Terms,
    divide: Divide,
}

fn done<T>(value: T) -> Outcome<T> {
    Ok(Done { value, fuel_limit: 1000, fuel_used: 10 })
}

impl PayoutScheme for Bad {
    fn digest(&self) -> Digest {
        Digest([5; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done(r#"{"type":"object"}"#.to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Terms> {
        done(self.terms.clone())
    }
    fn allocate(&self, _: &Settings, income: &Income, windows: &[Totals], st: &State) -> Outcome<Allocation> {
        done((self.divide)(income, windows, st))
    }
    fn accrues(&self) -> bool {
        false
    }
    fn accrue(&self, _: &Settings, _: &Batch, _: &State) -> Outcome<Allocation> {
        unreachable!()
    }
}

fn terms(span: Span, claims: &[&str]) -> Terms {
    Terms {
        windows: vec![Window { span, measure: Measure::Work, edge: Edge::Split }],
        claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        ..Terms::default()
    }
}

fn rows(window: &Totals) -> Vec<(u64, u128)> {
    let sum = |at: usize| u128::from(window.high[at]) << 64 | u128::from(window.low[at]);
    (0..window.miner.len()).map(|at| (window.miner[at], sum(at))).collect()
}

/// A split by cumulative floor with the last digits of huge weights left out.
fn proportional(gross: u64, rows: &[(u64, u128)]) -> Allocation {
    let total = rows.iter().map(|row| row.1 >> 2).fold(0_u128, u128::saturating_add);
    let shift = 66_u32.saturating_sub(total.leading_zeros());
    let weight = |sum: u128| sum >> shift;
    let total: u128 = rows.iter().map(|row| weight(row.1)).sum();
    let mut given = Allocation { rest: gross, ..Allocation::default() };
    let (mut running, mut before) = (0_u128, 0_u64);
    for (miner, sum) in rows {
        running += weight(*sum);
        let until = (u128::from(gross) * running).checked_div(total).unwrap_or(0) as u64;
        if until > before {
            given.miner.push(*miner);
            given.amount.push(until - before);
            given.rest -= until - before;
        }
        before = until;
    }
    given
}

fn fair(income: &Income, windows: &[Totals], _: &State) -> Allocation {
    proportional(income.gross, &rows(&windows[0]))
}

fn report(terms: Terms, divide: Divide) -> Report {
    let scheme: Arc<dyn PayoutScheme> = Arc::new(Bad { terms, divide });
    scheme::test("bad", &scheme, &Settings::new(), QUICK)
}

/// The counterexample of the broken property.
fn broken(report: &Report, property: &str) -> String {
    match report.of(property) {
        Some(Status::Fail(example)) => example.clone(),
        other => panic!("{property}: {other:?} in\n{report}"),
    }
}

#[test]
fn prop_that_claims_to_be_hopping_proof_is_found_out() {
    let report = report(terms(Span::Round, &["hopping-neutral"]), fair);
    let example = broken(&report, "hopping-neutral");
    assert!(example.starts_with("hopping by the round's age: a hopper earns "), "{example}");
}

#[test]
fn naive_pplns_is_found_out_at_a_retarget() {
    // The last 120 shares by work: fair by the round's age, not when difficulty falls.
    let report = report(terms(Span::Shares(120), &["hopping-neutral"]), fair);
    let example = broken(&report, "hopping-neutral");
    assert!(example.starts_with("hopping before a retarget: a hopper earns "), "{example}");
}

#[test]
fn windows_of_work_and_of_time_are_found_out_at_a_retarget() {
    // What `tides` and `pplns-window` do not claim: their shares are paid at the difficulty of later blocks.
    for span in [Span::Work(8000), Span::Work(2000), Span::Millis(240_000)] {
        let report = report(terms(span, &["hopping-neutral"]), fair);
        let example = broken(&report, "hopping-neutral");
        assert!(example.starts_with("hopping before a retarget: a hopper earns "), "{span:?}: {example}");
    }
    // And what `pplns` claims: the same window in units.
    let mut units = terms(Span::Work(2000), &["hopping-neutral"]);
    units.windows[0].measure = Measure::Units;
    let report = report(units, fair);
    assert!(matches!(report.of("hopping-neutral"), Some(Status::Pass(_))), "{report}");
}

/// Terms of a window of units with the finder beside it.
fn with_finder(span: Span, claims: &[&str]) -> Terms {
    let mut wanted = terms(span, claims);
    wanted.windows[0].measure = Measure::Units;
    wanted.windows.push(Window { span: Span::Finder, measure: Measure::Work, edge: Edge::Whole });
    wanted
}

#[test]
fn the_incentive_compatible_reward_is_found_out_where_it_claims_to_be_hopping_proof() {
    let divide: Divide = |income, windows, _| {
        let mut weights = rows(&windows[0]);
        let total = weights.iter().map(|row| row.1).fold(0_u128, u128::saturating_add);
        let lacking = (1_u128 << 64).saturating_sub(total);
        let finder = windows[1].miner[0];
        match weights.binary_search_by_key(&finder, |row| row.0) {
            Ok(at) => weights[at].1 += lacking,
            Err(at) => weights.insert(at, (finder, lacking)),
        }
        exact(income.gross, &weights)
    };
    let report = report(with_finder(Span::Round, &["hopping-neutral", "monotone", "split"]), divide);
    let example = broken(&report, "hopping-neutral");
    assert!(example.starts_with("hopping by the round's age: a hopper earns "), "{example}");
    for held in ["monotone", "split"] {
        assert!(matches!(report.of(held), Some(Status::Pass(_))), "{held}:\n{report}");
    }
}

/// A split by cumulative floor that is exact for every weight, as the bundled schemes split.
fn exact(gross: u64, rows: &[(u64, u128)]) -> Allocation {
    let amounts = millpond_sdk::cumulative(gross, rows.iter().map(|row| row.1)).unwrap();
    let rest = gross - amounts.iter().sum::<u64>();
    let paid = rows.iter().map(|row| row.0).zip(amounts).filter(|(_, amount)| *amount > 0);
    let (miner, amount) = paid.unzip();
    Allocation { miner, amount, rest, ..Allocation::default() }
}

/// A tenth to one miner, the rest by units.
fn with_bonus(income: &Income, window: &Totals, to: Option<u64>) -> Allocation {
    let bonus = to.map_or(0, |_| income.gross / 10);
    let mut given = exact(income.gross - bonus, &rows(window));
    let Some(to) = to.filter(|_| bonus > 0) else { return given };
    match given.miner.binary_search(&to) {
        Ok(at) => given.amount[at] += bonus,
        Err(at) => {
            given.miner.insert(at, to);
            given.amount.insert(at, bonus);
        }
    }
    given
}

#[test]
fn a_bonus_is_split_invariant_for_the_finder_and_not_for_the_largest() {
    let claims = ["split", "permutation", "hopping-neutral"];
    let finder: Divide =
        |income, windows, _| with_bonus(income, &windows[0], windows[1].miner.first().copied());
    let honest = report(with_finder(Span::Work(2000), &claims), finder);
    assert!(honest.passed(), "{honest}");
    let largest: Divide = |income, windows, _| {
        let largest = rows(&windows[0]).into_iter().max_by_key(|row| row.1).map(|row| row.0);
        with_bonus(income, &windows[0], largest)
    };
    let report = report(with_finder(Span::Work(2000), &claims), largest);
    assert!(broken(&report, "split").contains("parts"));
}

#[test]
fn a_bonus_that_comes_on_top_is_found() {
    let minting: Divide = |income, windows, _| {
        let mut given = with_bonus(income, &windows[0], windows[1].miner.first().copied());
        if let Some(first) = given.amount.first_mut() {
            *first += income.gross / 10;
        }
        given
    };
    let report = report(with_finder(Span::Work(2000), &[]), minting);
    assert!(broken(&report, "conserved").contains("amounts and rest sum to the income"));
}

#[test]
fn money_out_of_nothing_is_found() {
    let minting: Divide = |income, windows, state| {
        let mut given = fair(income, windows, state);
        given.rest += 1;
        given
    };
    let report = report(terms(Span::Round, &[]), minting);
    assert!(broken(&report, "conserved").contains("amounts and rest sum to the income"));
}

#[test]
fn pay_for_no_work_is_found() {
    let generous: Divide = |income, windows, _| {
        let equal: Vec<_> = rows(&windows[0]).into_iter().map(|(miner, _)| (miner, 1)).collect();
        proportional(income.gross, &equal)
    };
    let report = report(terms(Span::Round, &["scale"]), generous);
    assert!(broken(&report, "no-work-no-pay").contains("for no work"));
    assert!(matches!(report.of("scale"), Some(Status::Pass(_))), "equal parts do not depend on the scale");
    assert_eq!(report.of("split"), Some(&Status::NotClaimed));
}

#[test]
fn a_claim_of_split_invariance_that_is_wrong_is_found() {
    let per_head: Divide = |income, windows, _| {
        let equal: Vec<_> = rows(&windows[0]).into_iter().map(|(m, sum)| (m, u128::from(sum > 0))).collect();
        proportional(income.gross, &equal)
    };
    let report = report(terms(Span::Round, &["split", "monotone"]), per_head);
    let example = broken(&report, "split");
    assert!(example.contains("in 2 parts") || example.contains("parts"), "{example}");
}

#[test]
fn a_favourite_name_is_found() {
    let favour: Divide = |income, windows, _| {
        let doubled: Vec<_> = rows(&windows[0])
            .into_iter()
            .map(|(m, sum)| (m, if m == 1 { sum.saturating_mul(2) } else { sum }))
            .collect();
        proportional(income.gross, &doubled)
    };
    let report = report(terms(Span::Round, &[]), favour);
    broken(&report, "permutation");
    assert!(broken(&report, "conserved").contains("renaming the miners changes nothing"));
}

#[test]
fn a_scheme_that_pays_less_for_more_work_is_found() {
    let queer: Divide = |income, windows, _| {
        let inverse: Vec<_> = rows(&windows[0])
            .into_iter()
            .map(|(m, sum)| (m, (1_u128 << 40) / sum.saturating_add(1) * u128::from(sum > 0)))
            .collect();
        proportional(income.gross, &inverse)
    };
    let report = report(terms(Span::Round, &["monotone", "scale"]), queer);
    assert!(broken(&report, "monotone").contains("for more work"));
    broken(&report, "scale");
}

#[test]
fn a_share_paid_twice_is_found_where_it_is_claimed_not_to_be() {
    let report = report(terms(Span::Shares(1000), &["share-once"]), fair);
    assert!(broken(&report, "share-once").contains("a miner whose shares are all among the first"));
    let once = self::report(terms(Span::Round, &["share-once"]), fair);
    assert!(matches!(once.of("share-once"), Some(Status::Pass(_))), "{once}");
}

#[test]
fn a_scheme_that_is_not_a_function_of_its_arguments_is_found() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let moody: Divide = |income, windows, _| {
        let kept = CALLS.fetch_add(1, Ordering::Relaxed) % 2;
        let mut given = proportional(income.gross - income.gross.min(kept), &rows(&windows[0]));
        given.rest += income.gross.min(kept);
        given
    };
    broken(&report(terms(Span::Round, &[]), moody), "deterministic");
}

#[test]
fn a_lost_income_that_leaves_traces_is_found_unless_it_is_restored() {
    // Remembers in its memo that it has paid before, and then pays less.
    let grudging: Divide = |income, windows, state| {
        let kept = if state.memo.is_empty() { 0 } else { income.gross / 10 };
        let mut given = proportional(income.gross - kept, &rows(&windows[0]));
        given.rest += kept;
        given.state.memo = vec![1];
        given
    };
    let dropped = Terms { state_format: "memo".into(), ..terms(Span::Round, &[]) };
    let example = broken(&report(dropped.clone(), grudging), "orphan");
    assert!(example.contains("declare reversal `restore`"), "{example}");
    let restored = report(Terms { reversal: Reversal::Restore, ..dropped }, grudging);
    assert!(matches!(restored.of("orphan"), Some(Status::Pass(_))), "{restored}");
}

#[test]
fn a_scheme_that_wraps_at_the_edge_of_its_integers_is_found() {
    let narrow: Divide = |income, windows, _| {
        let low: Vec<_> =
            windows[0].miner.iter().zip(&windows[0].low).map(|(m, low)| (*m, u128::from(*low))).collect();
        let total = low.iter().map(|row| row.1 as u64).fold(0_u64, u64::wrapping_add).max(1);
        let mut given = Allocation { rest: income.gross, ..Allocation::default() };
        for (miner, sum) in low {
            let part = (income.gross as u128 * sum / u128::from(total)) as u64;
            if part > 0 {
                given.miner.push(miner);
                given.amount.push(part);
                given.rest = given.rest.wrapping_sub(part);
            }
        }
        given
    };
    broken(&report(terms(Span::Round, &[]), narrow), "edges");
}

#[test]
fn a_claim_that_nobody_knows_is_told() {
    let report = report(terms(Span::Round, &["fairness"]), fair);
    assert!(broken(&report, "claims").starts_with("\"fairness\" is no property; there are permutation, "));
}
