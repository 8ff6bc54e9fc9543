//! Difficulties under three rules, in simulated time: `cargo bench --workspace --locked --profile release --bench vardiff`.
//!
//! Ours is the code that sessions run; ckpool's and miningcore's are simulated from their published rules
//! (`tests/retarget/rules.rs` says which). Each rule is measured against the rate that it aims at itself. Everything is
//! seeded: the figures are the same on every machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/retarget/mod.rs"]
mod retarget;

use retarget::{HASHRATE, Run, Spread, Which, quantile, run};

const SEEDS: u64 = 200;
const HOUR: f64 = 3600.0;
/// After two hours a session is what it will be.
const SETTLED: f64 = 2.0 * HOUR;

fn main() {
    println!("## The rate is found\n");
    println!(
        "Time (half of the sessions, nineteen of twenty) and changes (half, worst of a hundred) until the rate to be"
    );
    println!("expected is within 25 % of the wanted one; {SEEDS} sessions each, followed for four hours.\n");
    header("start, against the right difficulty");
    for power in [-6, -4, -2, -1, 1, 2, 4, 6] {
        let name = if power < 0 { format!("10^{} too easy", -power) } else { format!("10^{power} too hard") };
        row(&name, |which| found(which, 10_f64.powi(power), |_| HASHRATE, HASHRATE, 0.0));
    }
    println!("\n## A hashrate changes after two hours\n");
    header("change");
    for factor in [4.0, 2.0, 0.5, 0.25] {
        let changing = move |t: f64| if t < SETTLED { HASHRATE } else { HASHRATE * factor };
        row(&format!("times {factor}"), |which| found(which, 1.0, changing, HASHRATE * factor, SETTLED));
    }
    println!("\n## A steady miner, from the third hour to the twentieth\n");
    header("what");
    let settled = Which::COMPARED.map(|which| {
        let runs = (0..50).map(|seed| run(which, 1.0, |_| HASHRATE, 20.0 * HOUR, 1_000 + seed));
        runs.map(|run| run.spread(which.right(HASHRATE), SETTLED)).fold(Spread::default(), Spread::with)
    });
    let of = |which: Which| settled[Which::COMPARED.iter().position(|one| *one == which).unwrap()];
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    row("spread of a session's difficulty", |which| percent(of(which).of_a_session()));
    row("distance from the right difficulty", |which| percent(of(which).distance()));
    row("changes an hour", |which| format!("{:.2}", of(which).changes_an_hour()));
    println!("\n## A miner that works one minute of three, for two hours\n");
    header("what");
    let minutes = |t: f64| if t % 180.0 < 60.0 { HASHRATE } else { 1e-9 };
    let runs = Which::COMPARED.map(|which| {
        (0..50).map(|seed| run(which, 1.0, minutes, 2.0 * HOUR, 9_000 + seed)).collect::<Vec<Run>>()
    });
    let of = |which: Which| &runs[Which::COMPARED.iter().position(|one| *one == which).unwrap()];
    let mean = |which: Which, what: &dyn Fn(&Run) -> f64| of(which).iter().map(what).sum::<f64>() / 50.0;
    row("changes an hour", |which| {
        format!("{:.0}", mean(which, &|run| (run.changes.len() - 1) as f64 / 2.0))
    });
    row("shares a working minute", |which| format!("{:.1}", mean(which, &|run| run.shares as f64 / 40.0)));
    row("rejected", |which| {
        let (rejected, shares) =
            (mean(which, &|run| run.rejected as f64), mean(which, &|run| run.shares as f64));
        format!("{:.2} %", rejected / (rejected + shares) * 100.0)
    });
}

fn header(first: &str) {
    println!("| {first} | {} |", Which::COMPARED.map(Which::name).join(" | "));
    println!("|---|{}", "---|".repeat(Which::COMPARED.len()));
}

fn row(name: &str, cell: impl Fn(Which) -> String) {
    println!("| {name} | {} |", Which::COMPARED.map(&cell).join(" | "));
}

/// How soon the right difficulty of a hashrate is found from a moment on, and what it cost in shares refused.
fn found(which: Which, wrong: f64, hashrate: impl Fn(f64) -> f64 + Copy, then: f64, from: f64) -> String {
    let runs: Vec<_> = (0..SEEDS).map(|seed| run(which, wrong, hashrate, from + 4.0 * HOUR, seed)).collect();
    let right = which.right(then);
    let found: Vec<_> =
        runs.iter().map(|run| run.found(right, from).unwrap_or((f64::INFINITY, usize::MAX))).collect();
    let time = |part| quantile(found.iter().map(|(at, _)| *at).collect(), part);
    let changes = |part| quantile(found.iter().map(|(_, changes)| *changes).collect(), part);
    let rejected: u64 = runs.iter().map(|run| run.rejected).sum();
    let refused = if rejected > 0 {
        format!("; {:.1} rejected", rejected as f64 / SEEDS as f64)
    } else {
        String::new()
    };
    if time(0.5).is_infinite() {
        return format!("never{refused}");
    }
    let seconds =
        |seconds: f64| if seconds.is_infinite() { "never".to_owned() } else { format!("{seconds:.1} s") };
    let worst = if changes(0.99) == usize::MAX { "-".to_owned() } else { changes(0.99).to_string() };
    format!("{}, {}; {}, {worst} changes{refused}", seconds(time(0.5)), seconds(time(0.95)), changes(0.5))
}
