//! The kit against the bundled schemes: each keeps every property under its settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_conformance::{Options, Report, Status, scheme};
use millpond_contracts::{Setting, Settings, load_scheme};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
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
    let all: [(&str, &[(&str, Setting)]); 29] = [
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
        ("dgm", &[("o_bp", Setting::Int(0))]),
        ("fpps", &[("fees", text("none")), ("fee_ppm", Setting::Int(10_000))]),
        ("fpps", &[("fees", text("blocks")), ("window_blocks", Setting::Int(3))]),
        ("pps-plus", &[("window", Setting::Int(1000)), ("fee_ppm", Setting::Int(10_000))]),
        ("cppsrb", &[("surplus", text("carry"))]),
        ("cppsrb", &[("pay", text("subsidy")), ("reach", Setting::Int(9))]),
        ("esmpps", &[]),
        ("esmpps", &[("pay", text("subsidy"))]),
        ("smpps", &[("pay", text("subsidy"))]),
        ("slice", &[]),
        ("slice", &[("window", Setting::Int(1500)), ("delta", Setting::Int(1000))]),
        ("slush", &[("seconds", Setting::Int(86_400))]),
        ("shifts", &[("shifts", Setting::Int(2)), ("minutes", Setting::Int(1))]),
    ];
    for (name, settings) in all {
        let report = bundled(name, settings, QUICK);
        assert!(report.passed(), "{name} with {settings:?}:\n{report}");
    }
}

#[test]
fn bundled_schemes_divide_among_a_million_miners_within_their_limits() {
    for name in ["pplns", "pplns-window", "tides", "finder-bonus", "incentive-compatible", "slice", "cppsrb"]
    {
        let report = bundled(name, &[], Options { cases: 1, ..Options::default() });
        let Some(Status::Pass(how)) = report.of("bounded") else { panic!("{name}:\n{report}") };
        assert!(how.starts_with("1000000 miners, fuel "), "{name}: {how}");
    }
}

#[test]
fn the_same_seed_gives_the_same_report() {
    assert_eq!(bundled("prop", &[], QUICK), bundled("prop", &[], QUICK));
}
