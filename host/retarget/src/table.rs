//! The tables that compare the rules.

use crate::{HASHRATE, Run, Session, Spread, Which, quantile};
use serde::Serialize;
use std::fmt;

const HOUR: f64 = 3600.0;
/// After two hours a session is what it will be.
const SETTLED: f64 = 2.0 * HOUR;
/// What a miner begins with who is too small for any difficulty: ckpool's start.
const TINY_START: f64 = 42.0;
/// His hashrate: one share a minute at the least difficulty there is, which is 1.
const TINY: f64 = 1.0 / 60.0;

/// A table of one question: a row each with its name, and a cell for each rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// What is asked.
    pub title: String,
    /// What stands above the names.
    pub first: &'static str,
    /// The rules.
    pub rules: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<(String, Vec<String>)>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n\n| {} | {} |", self.title, self.first, self.rules.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.rules.len()))?;
        self.rows.iter().try_for_each(|(name, cells)| writeln!(f, "| {name} | {} |", cells.join(" | ")))
    }
}

impl Table {
    fn new(title: &str, first: &'static str) -> Self {
        let rules = Which::COMPARED.map(Which::name).to_vec();
        Self { title: title.to_owned(), first, rules, rows: Vec::new() }
    }

    fn row(&mut self, name: impl Into<String>, cell: impl Fn(Which) -> String) {
        self.rows.push((name.into(), Which::COMPARED.iter().map(|which| cell(*which)).collect()));
    }
}

/// All tables, of so many sessions each. `progress` hears what comes next, how many tables are done, and how many there are.
#[must_use]
pub fn tables(sessions: u64, mut progress: impl FnMut(&str, usize, usize)) -> Vec<Table> {
    type Taken = fn(u64) -> Table;
    let all: [(&str, Taken); 5] = [
        ("the rate is found", starts),
        ("a hashrate changes", steps),
        ("a steady miner", steady),
        ("a miner who comes and goes", intermittent),
        ("a tiny miner", tiny),
    ];
    let mut tables = Vec::new();
    for (done, (what, table)) in all.iter().enumerate() {
        progress(what, done, all.len());
        tables.push(table(sessions.max(1)));
    }
    tables
}

fn starts(sessions: u64) -> Table {
    let mut table = Table::new("The rate is found", "start, against the right difficulty");
    for power in [-6, -4, -2, -1, 1, 2, 4, 6] {
        let name = if power < 0 { format!("10^{} too easy", -power) } else { format!("10^{power} too hard") };
        let wrong = 10_f64.powi(power);
        table.row(name, |which| found(sessions, which, wrong, |_| HASHRATE, HASHRATE, 0.0));
    }
    table
}

fn steps(sessions: u64) -> Table {
    let mut table = Table::new("A hashrate changes after two hours", "change");
    for factor in [4.0, 2.0, 0.5, 0.25] {
        let changing = move |t: f64| if t < SETTLED { HASHRATE } else { HASHRATE * factor };
        table.row(format!("times {factor}"), |which| {
            found(sessions, which, 1.0, changing, HASHRATE * factor, SETTLED)
        });
    }
    table
}

fn steady(sessions: u64) -> Table {
    let mut table = Table::new("A steady miner, from the third hour to the twentieth", "what");
    let of = |which: Which| {
        let session = Session::from_wrong(which, 1.0, 20.0 * HOUR);
        let runs = (0..sessions.div_ceil(4)).map(|seed| session.run(|_| HASHRATE, 1_000 + seed));
        runs.map(|run| run.spread(which.right(HASHRATE), SETTLED)).fold(Spread::default(), Spread::with)
    };
    let spreads = Which::COMPARED.map(|which| (which, of(which)));
    let of = |which: Which| {
        spreads.iter().find(|(of, _)| *of == which).map_or(Spread::default(), |(_, spread)| *spread)
    };
    table.row("spread of a session's difficulty", |which| percent(of(which).of_a_session()));
    table.row("distance from the right difficulty", |which| percent(of(which).distance()));
    table.row("changes an hour", |which| format!("{:.2}", of(which).changes_an_hour()));
    table
}

fn intermittent(sessions: u64) -> Table {
    let minutes = |t: f64| if t % 180.0 < 60.0 { HASHRATE } else { 1e-9 };
    let runs = Which::COMPARED.map(|which| {
        let session = Session::from_wrong(which, 1.0, 2.0 * HOUR);
        (which, (0..sessions.div_ceil(4)).map(|seed| session.run(minutes, 9_000 + seed)).collect::<Vec<_>>())
    });
    let mut table = Table::new("A miner that works one minute of three, for two hours", "what");
    rows_of_runs(&mut table, &runs, 2.0, 40.0, "shares a working minute");
    table
}

/// A miner who is slower than the rate that is wanted of him even at the least difficulty.
fn tiny(sessions: u64) -> Table {
    let runs = Which::COMPARED.map(|which| {
        let session = Session { which, start: TINY_START, least: 1.0, seconds: 12.0 * HOUR };
        (which, (0..sessions).map(|seed| session.run(|_| TINY, 4_000 + seed)).collect::<Vec<_>>())
    });
    let mut table = Table::new(
        "A tiny miner: one share a minute at the least difficulty of 1, from a start of 42, for twelve hours",
        "what",
    );
    let bottom = |run: &Run| run.changes.iter().find(|(_, difficulty)| *difficulty <= 1.0).map(|(at, _)| *at);
    table.row("until the least difficulty: half, nineteen of twenty", |which| {
        let at = of(&runs, which).iter().map(|run| bottom(run).unwrap_or(f64::INFINITY)).collect::<Vec<_>>();
        format!("{}, {}", seconds(quantile(at.clone(), 0.5)), seconds(quantile(at, 0.95)))
    });
    rows_of_runs(&mut table, &runs, 12.0, 12.0, "shares an hour");
    table
}

fn of(runs: &[(Which, Vec<Run>)], which: Which) -> &[Run] {
    runs.iter().find(|(of, _)| *of == which).map_or(&[], |(_, runs)| runs)
}

/// What a session of `hours` had, with its shares divided by `parts`.
fn rows_of_runs(table: &mut Table, runs: &[(Which, Vec<Run>)], hours: f64, parts: f64, shares: &str) {
    let mean = |which: Which, what: &dyn Fn(&Run) -> f64| {
        let runs = of(runs, which);
        runs.iter().map(what).sum::<f64>() / runs.len().max(1) as f64
    };
    table.row("changes an hour", |which| {
        format!("{:.1}", mean(which, &|run| (run.changes.len() - 1) as f64 / hours))
    });
    table.row(shares, |which| format!("{:.1}", mean(which, &|run| run.shares as f64 / parts)));
    table.row("rejected", |which| {
        let [rejected, shares] =
            [mean(which, &|run| run.rejected as f64), mean(which, &|run| run.shares as f64)];
        format!("{:.2} %", 100.0 * rejected / (rejected + shares).max(f64::MIN_POSITIVE))
    });
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn seconds(seconds: f64) -> String {
    if seconds.is_infinite() { "never".to_owned() } else { format!("{seconds:.1} s") }
}

/// How soon the right difficulty of a hashrate is found from a moment on, and what it cost in shares refused.
fn found(
    sessions: u64,
    which: Which,
    wrong: f64,
    hashrate: impl Fn(f64) -> f64 + Copy,
    then: f64,
    from: f64,
) -> String {
    let session = Session::from_wrong(which, wrong, from + 4.0 * HOUR);
    let runs: Vec<_> = (0..sessions).map(|seed| session.run(hashrate, seed)).collect();
    let right = which.right(then);
    let found: Vec<_> =
        runs.iter().map(|run| run.found(right, from).unwrap_or((f64::INFINITY, usize::MAX))).collect();
    let time = |part| quantile(found.iter().map(|(at, _)| *at).collect(), part);
    let changes = |part| quantile(found.iter().map(|(_, changes)| *changes).collect(), part);
    let rejected: u64 = runs.iter().map(|run| run.rejected).sum();
    let refused = if rejected > 0 {
        format!("; {:.1} rejected", rejected as f64 / sessions as f64)
    } else {
        String::new()
    };
    if time(0.5).is_infinite() {
        return format!("never{refused}");
    }
    let worst = if changes(0.99) == usize::MAX { "-".to_owned() } else { changes(0.99).to_string() };
    format!("{}, {}; {}, {worst} changes{refused}", seconds(time(0.5)), seconds(time(0.95)), changes(0.5))
}
