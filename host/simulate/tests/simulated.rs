//! Scenarios, played: against figures of the literature, against the production path, and against components.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_runtime::{Compiler, Sandbox};
use millpond_simulate::{
    EXAMPLES, How, Mode, Outcome, Plugins, Scenario, SimulateError, StrategyChoice, chains, example, run,
};
use millpond_statistics::Estimate;
use std::num::NonZeroU64;

fn play(scenario: &Scenario) -> Outcome {
    run(scenario, &Plugins::native(), How::Native, 2, &|_, _| {}).unwrap()
}

fn of(name: &str, blocks: u64, replications: u64) -> Scenario {
    let mut scenario = Scenario::parse(example(name).unwrap()).unwrap();
    scenario.blocks = NonZeroU64::new(blocks).unwrap();
    scenario.replications = NonZeroU64::new(replications).unwrap();
    scenario
}

/// Within 4 σ, with a σ that is small enough to see an error of `part`.
fn holds(figure: &Estimate, expected: f64, part: f64) {
    let seen = figure.sigma * 8.0 <= part * expected.abs();
    assert!(figure.z(expected).abs() <= 4.0 && seen, "{figure:?}, expected {expected}, to see {part}");
    assert!(figure.z(expected * (1.0 + part)).abs() > 4.0, "the twin of {expected} passes: {figure:?}");
}

#[test]
fn every_example_plays_and_keeps_its_books() {
    for (name, text) in EXAMPLES {
        let outcome = play(&Scenario::parse(text).unwrap().shortened());
        assert!(outcome.holds(), "{name}:\n{outcome}");
        // The first replication ran on the production path, and paid the same.
        assert!(outcome.schemes.iter().all(|scheme| scheme.production == 1 && scheme.incomes > 0), "{name}");
        let tables = outcome.tables().unwrap();
        assert!(tables.iter().any(|table| table.rows() > 0), "{name}");
        assert!(outcome.classes.iter().all(|row| row.part.value.is_finite()), "{name}:\n{outcome}");
    }
}

#[test]
fn examples_are_the_files_of_the_folder() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scenarios");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
        .collect();
    files.sort();
    let mut names: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
    for (name, text) in EXAMPLES {
        assert!(text.contains("# Expected"), "{name} does not say what to expect");
    }
}

#[test]
fn a_hopper_earns_what_the_literature_says() {
    let outcome = play(&of("hopping", 6_000, 16));
    let hopper = outcome.class("prop", "hopper").unwrap();
    holds(&hopper.per_value, 1.798_297, 0.02);
    holds(&hopper.gain, 1.281_308, 0.02);
}

#[test]
fn fee_policies_take_their_parts_one_behind_the_other() {
    let outcome = play(&of("fee-policies", 2_000, 16));
    assert!(outcome.holds(), "{outcome}");
    let part = |scheme| outcome.class(scheme, "all").unwrap().per_value.value;
    let (free, charged) = (part("free"), part("charged"));
    assert!((charged / free - 0.985_05).abs() < 1e-7, "{charged} of {free}");
    holds(&outcome.class("charged at once", "all").unwrap().per_value, 0.99, 0.01);
    // Both ways of a policy give the same bytes, and its bytes are in the head.
    let plugins = Plugins::with_components(Sandbox::new(None, Compiler::InProcess).unwrap());
    let scenario = of("fee-policies", 200, 2);
    let both = run(&scenario, &plugins, How::Both, 2, &|_, _| {}).unwrap();
    assert!(both.schemes.iter().all(|scheme| scheme.same_as_component == Some(true)), "{both}");
    let heads = &both.head.schemes;
    assert_ne!(heads[0].settings, heads[1].settings);
    let refused = |change: &dyn Fn(&str) -> String| {
        let text = change(example("fee-policies").unwrap());
        let scenario = Scenario::parse(&text).unwrap();
        run(&scenario, &plugins, How::Native, 2, &|_, _| {}).unwrap_err().to_string()
    };
    let tiers = |column: &str| {
        let policy =
            format!("policy = \"fee-tiers\"\nsettings = {{ column = \"{column}\", tiers = \"0:100\" }}");
        move |text: &str| {
            text.replacen("policy = \"flat-fee\"\nsettings = { basis_points = 100 }", &policy, 1)
        }
    };
    let why = refused(&tiers("list:nobodys"));
    assert!(why.contains("the column \"list:nobodys\"") && why.contains("each [lists.NAME]"), "{why}");
    let hashrate = tiers("hashrate");
    let why =
        refused(&|text| hashrate(&format!("mode = \"rounds\"\n{text}").replace("\"pplns\"", "\"prop\"")));
    assert!(why.contains("rounds mode keeps no statistics"), "{why}");
    let unknown = format!("{}\n[lists.friends]\nnobody = 1\n", example("fee-policies").unwrap());
    assert!(Scenario::parse(&unknown).unwrap_err().to_string().contains("no miners are called \"nobody\""));
    let why = refused(&|text| text.replacen("\"flat-fee\"", "\"no-such\"", 1));
    assert!(why.contains("there are fee-donation, "), "{why}");
    let why = refused(&|text| text.replacen("\"flat-fee\"", "\"gone.wasm\"", 1));
    assert!(why.contains("gone.wasm"), "{why}");
    let why = refused(&|text| text.replacen("name = \"charged\"", "name = \"charged\"\nfee = 0.01", 1));
    assert!(why.contains("take one of them"), "{why}");
}

#[test]
fn fee_policies_are_told_of_hashrates_and_lists_as_in_a_pool() {
    let outcome = play(&of("fee-tiers", 400, 4));
    assert!(outcome.holds(), "{outcome}");
    let part = |scheme, class| outcome.class(scheme, class).unwrap().per_value.value;
    for (class, rate, listed) in [("large", 0.995, 0.99), ("small", 0.98, 1.0)] {
        let ratio = part("by hashrate", class) / part("by list", class);
        // Each has its own control variate for luck. A single block at another rate would be off by more.
        assert!((ratio - rate / listed).abs() < 4e-6, "{class}: {ratio}");
        let at_once = part("by hashrate at once", class);
        assert!((at_once - rate).abs() < 1e-5, "{class}: {at_once}");
    }
    let plugins = Plugins::with_components(Sandbox::new(None, Compiler::InProcess).unwrap());
    let both = run(&of("fee-tiers", 100, 1), &plugins, How::Both, 2, &|_, _| {}).unwrap();
    assert!(both.schemes.iter().all(|scheme| scheme.same_as_component == Some(true)), "{both}");
}

#[test]
fn loyal_miners_lose_what_the_literature_says() {
    let outcome = play(&of("loyal-miners", 6_000, 16));
    holds(&outcome.class("prop", "loyal").unwrap().per_value, 0.939_429_6, 0.01);
    holds(&outcome.class("prop", "hoppers").unwrap().per_value, 1.798_297, 0.02);
}

#[test]
fn an_attacker_who_withholds_blocks_earns_what_the_literature_says() {
    let outcome = play(&of("withholding", 6_000, 16));
    let part = |class| outcome.class("prop", class).unwrap().part;
    holds(&part("infiltrators"), 0.046_783_6, 0.02);
    holds(&part("attacker alone"), 0.157_894_7, 0.02);
}

#[test]
fn pay_varies_as_the_literature_says() {
    let outcome = play(&of("steady-miners", 1_000, 24));
    let spread = |scheme| outcome.class(scheme, "all").unwrap().spread.unwrap();
    holds(&spread("solo"), 100.0, 0.1);
    holds(&spread("pps"), 0.1, 0.1);
    // The pool's own luck is nearly all of it: 240 batches know that to 9 %.
    for (scheme, expected) in [("prop", 1.684_55), ("pplns", 1.148_45)] {
        let figure = spread(scheme);
        assert!(figure.z(expected).abs() < 4.0 && figure.sigma < 0.15, "{scheme}: {figure:?}");
    }
}

#[test]
fn a_share_waits_half_a_window_and_is_seldom_left_unpaid() {
    let outcome = play(&of("pplns", 4_000, 16));
    for scheme in ["pplns", "tides"] {
        let figures = outcome.scheme(scheme).unwrap();
        assert!((figures.maturity.unwrap() - 3.995).abs() < 1e-3, "{figures:?}");
        // About twenty gaps of more than eight blocks' work, as long again as one block's: an error of a third.
        let unpaid = figures.unpaid.unwrap();
        assert!(unpaid > 0.5e-4 && unpaid < 8e-4, "{unpaid}");
    }
}

/// The stack of unpaid shares is a random walk that is reflected where all is paid, and what it is reflected by is the
/// operator's.
#[test]
fn bad_luck_is_left_to_old_shares_and_good_luck_to_who_has_the_surplus() {
    let outcome = play(&of("backpay", 100, 1_024));
    assert!(outcome.holds(), "{outcome}");
    let (blocks, reward) = (100.0, 312_500_000_000.0);
    let expected = (2.0 * blocks / std::f64::consts::PI).sqrt();
    let of = |scheme| outcome.scheme(scheme).unwrap();
    let (capped, shared) = (of("cppsrb"), of("rsmpps"));
    // Blocks are whole: less than one of the mean is missing.
    let unpaid = capped.unpaid.unwrap() * blocks;
    let operator = (capped.operator.value / reward, capped.operator.sigma / reward);
    for (what, part, sigma) in [("unpaid", unpaid, operator.1), ("the operator's", operator.0, operator.1)] {
        let off = part - (expected - 0.4);
        assert!(
            off.abs() < 4.0 * sigma + 0.4 && sigma < 0.3,
            "{what}: {part} ± {sigma}, expected {expected}"
        );
    }
    // A walk that is not reflected is below 0 half of the time.
    let kept = shared.unpaid.unwrap() * blocks;
    assert!(kept < 0.65 * unpaid && kept > 0.35 * unpaid, "{kept} of {unpaid}");
    assert_eq!(shared.operator.value.to_bits(), 0.0_f64.to_bits());
    // Most shares are paid in their round, and some when luck comes back.
    assert!(capped.maturity.unwrap() > 0.5, "{capped:?}");
    // The component is given the same, and gives the same; also where the chain loses blocks.
    let plugins = Plugins::with_components(Sandbox::new(None, Compiler::InProcess).unwrap());
    let text = example("backpay").unwrap().replace("seed = 1", "seed = 1\nlost = 0.2");
    let scenario = Scenario::parse(&text).unwrap().shortened();
    let both = run(&scenario, &plugins, How::Both, 2, &|_, _| {}).unwrap();
    assert!(both.holds(), "{both}");
    assert!(
        both.schemes.iter().all(|scheme| scheme.same_as_component == Some(true) && scheme.lost > 0),
        "{both}"
    );
}

#[test]
fn who_hops_gains_nothing_where_a_share_is_worth_the_same_at_any_time() {
    let outcome = play(&of("coming-and-going", 1_500, 16));
    let hopper = |scheme| outcome.class(scheme, "hopper").unwrap().per_value;
    holds(&hopper("prop"), 1.798, 0.06);
    for scheme in ["pplns", "pplns-window", "tides"] {
        holds(&hopper(scheme), 1.0, 0.06);
    }
    assert!((hopper("pps").value - 1.0).abs() < 1e-6, "{:?}", hopper("pps"));
    let gap = outcome.differences.iter().find(|row| row.scheme == "prop" && row.class == "hopper").unwrap();
    assert!(gap.difference.value > 0.0 && gap.against == "pps");
}

#[test]
fn who_hops_gains_by_scores_what_the_literature_says() {
    let outcome = play(&of("scores", 1_500, 16));
    let hopper = |scheme| outcome.class(scheme, "hopper").unwrap().per_value;
    holds(&hopper("prop"), 1.798, 0.06);
    holds(&hopper("slush"), 1.336, 0.08);
    holds(&hopper("pplns"), 1.0, 0.06);
    // Few of his shares are paid much: it varies most.
    holds(&hopper("geometric"), 0.95, 0.1);
    holds(&hopper("dgm"), 0.7, 0.05);
}

#[test]
fn lost_blocks_are_borne_by_whom_the_scheme_says() {
    let outcome = play(&of("lost-blocks", 4_000, 8));
    let all = |scheme| outcome.class(scheme, "all").unwrap().per_value;
    assert!((all("pps").value - 1.0).abs() < 1e-6);
    for scheme in ["prop", "pplns"] {
        assert!(all(scheme).z(0.98).abs() < 4.0 && all(scheme).z(1.0) < -4.0, "{:?}", all(scheme));
    }
    let pps = outcome.scheme("pps").unwrap();
    assert!(pps.operator.z(-3.125e9).abs() < 4.0 && pps.lost > 0, "{pps:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    for name in ["retarget", "loyal-miners"] {
        let mut scenario = of(name, 200, 5);
        let bytes = |threads| {
            let outcome = run(&scenario, &Plugins::native(), How::Native, threads, &|_, _| {}).unwrap();
            serde_json::to_vec(&outcome).unwrap()
        };
        let one = bytes(1);
        assert_eq!(one, bytes(3), "{name}");
        scenario.seed += 1;
        assert_ne!(one, serde_json::to_vec(&play(&scenario)).unwrap(), "{name}");
    }
}

#[test]
fn blocks_that_are_held_back_come_late_or_never() {
    let mut honest = of("loyal-miners", 2_000, 4);
    honest.mode = Mode::Shares;
    honest.network.work = NonZeroU64::new(300).unwrap();
    honest.miners[1].strategy = StrategyChoice::Honest;
    let mut delayed = honest.clone();
    delayed.miners[1].strategy = StrategyChoice::Delayer;
    let [honest, delayed] = [honest, delayed].map(|scenario| play(&scenario));
    assert!(honest.holds() && delayed.holds());
    let incomes = |outcome: &Outcome| outcome.scheme("prop").unwrap().incomes;
    // One in so many rounds is won while it is young and he has found little: some of these blocks are another's then.
    assert!(incomes(&delayed) < incomes(&honest), "{} {}", incomes(&delayed), incomes(&honest));
    assert!(incomes(&delayed) > incomes(&honest) * 9 / 10);
}

#[test]
fn rounds_at_once_are_rounds_of_shares() {
    let mut scenario = of("loyal-miners", 3_000, 8);
    scenario.network.work = NonZeroU64::new(1_000).unwrap();
    let at_once = play(&scenario);
    scenario.mode = Mode::Shares;
    let by_share = play(&scenario);
    for class in ["loyal", "hoppers"] {
        let [a, b] = [&at_once, &by_share].map(|outcome| outcome.class("prop", class).unwrap().per_value);
        let sigma = (a.sigma * a.sigma + b.sigma * b.sigma).sqrt();
        assert!((a.value - b.value).abs() < 4.0 * sigma && sigma < 0.01, "{class}: {a:?} {b:?}");
    }
}

#[test]
fn native_code_and_components_give_the_same_bytes() {
    let plugins = Plugins::with_components(Sandbox::new(None, Compiler::InProcess).unwrap());
    for name in ["lost-blocks", "withholding", "coming-and-going"] {
        let scenario = of(name, 100, 2);
        let outcome = run(&scenario, &plugins, How::Both, 2, &|_, _| {}).unwrap();
        assert!(
            outcome.schemes.iter().all(|scheme| scheme.same_as_component == Some(true)),
            "{name}:\n{outcome}"
        );
        let component = run(&scenario, &plugins, How::Wasm, 2, &|_, _| {}).unwrap();
        let figures = |outcome: &Outcome| serde_json::to_value(&outcome.classes).unwrap();
        assert_eq!(figures(&outcome), figures(&component), "{name}");
        assert!(component.head.schemes.iter().all(|scheme| !scheme.native));
    }
    // What the digests tell apart: the same scheme under another window.
    let text = example("pplns").unwrap();
    let digest = |text: &str| {
        let scenario = Scenario::parse(text).unwrap().shortened();
        chains(&scenario, &plugins, How::Native).unwrap()[0].1.unwrap()
    };
    assert_eq!(digest(text), digest(text));
    assert_ne!(digest(text), digest(&text.replace("window = 8000", "window = 7999")));
}

/// All jobs of a height have the same fees here, so that SLICE pays what a window by work pays; and credits of the subsidy
/// alone leave the fees to others.
#[test]
fn schemes_that_divide_subsidy_and_fees_apart_are_given_both() {
    let scheme = |plugin: &str, settings: &str| format!("[[scheme]]\nplugin = \"{plugin}\"\n{settings}\n");
    let text = example("fee-policies").unwrap();
    let (head, _) = text.split_once("[[scheme]]").unwrap();
    let head = head
        .replace("3_125_000_000", "3_000_000_000\nfees = { lognormal = { mean = 300000000, sigma = 0.5 } }");
    let schemes = [
        scheme("tides", "settings = { window = 2000 }"),
        scheme("slice", "settings = { window = 2000, delta = 1000000 }"),
        scheme("fpps", "settings = { fees = \"none\" }"),
    ];
    let mut scenario = Scenario::parse(&(head + &schemes.concat())).unwrap();
    scenario.blocks = NonZeroU64::new(1_000).unwrap();
    let plugins = Plugins::with_components(Sandbox::new(None, Compiler::InProcess).unwrap());
    let outcome = run(&scenario, &plugins, How::Both, 2, &|_, _| {}).unwrap();
    assert!(outcome.holds(), "{outcome}");
    assert!(outcome.schemes.iter().all(|scheme| scheme.same_as_component == Some(true)), "{outcome}");
    let part = |scheme| outcome.class(scheme, "all").unwrap().per_value.value;
    assert!((part("slice") - part("tides")).abs() < 1e-6, "{} {}", part("slice"), part("tides"));
    // Of 3.3 billion in the mean 3 are subsidy.
    assert!((part("fpps") - 3.0 / 3.3).abs() < 0.01, "{}", part("fpps"));
}

#[test]
fn what_a_scenario_asks_for_in_vain_is_refused_by_name() {
    let refused = |name: &str, from: &str, to: &str| -> SimulateError {
        let text = example(name).unwrap().replace(from, to);
        Scenario::parse(&text)
            .and_then(|scenario| run(&scenario.shortened(), &Plugins::native(), How::Native, 1, &|_, _| {}))
            .unwrap_err()
    };
    let error = refused("hopping", "plugin = \"prop\"", "plugin = \"pplns\"");
    assert!(
        error.is_usage() && error.to_string().starts_with("scheme pplns: its window looks beyond"),
        "{error}"
    );
    let error = refused("hopping", "plugin = \"prop\"", "plugin = \"pps\"");
    assert!(error.to_string().starts_with("scheme pps: it credits shares one by one"), "{error}");
    let error = refused("hopping", "plugin = \"prop\"", "plugin = \"proportional\"");
    assert!(
        error.to_string().contains("there are ") && error.to_string().contains("incentive-compatible"),
        "{error}"
    );
    let error = refused("pplns", "{ window = 8000 }", "{ window = 8000, widow = 1 }").to_string();
    assert!(error.contains("line ") && error.contains("settings.widow"), "{error}");
    let error = refused("loyal-miners", "hashrate = 800_000", "hashrate = 800_000\nstrategy = \"elsewhere\"");
    assert!(error.is_usage() && error.to_string().contains("never ends"), "{error}");
}
