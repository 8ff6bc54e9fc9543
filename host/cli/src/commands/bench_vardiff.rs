//! `millpond bench vardiff`: difficulties under three rules, in simulated time.

use crate::progress::StepBar;
use crate::terminal::Outcome;
use clap::Args;
use millpond_retarget::tables;
use std::process::ExitCode;

/// Simulate miners under our rule for a difficulty, ckpool's and miningcore's, and print how soon and how well each finds
/// what a miner needs.
///
/// Ours is the code that sessions run; the others are written after their sources, and each is measured by the rate that it
/// aims at itself. Cells of the first two tables: time (half of the sessions, nineteen of twenty) and changes (half, the worst
/// of a hundred) until the rate that is to be expected is within 25 % of the wanted one. Seeded: the figures are the same on
/// every machine.
#[derive(Debug, Args)]
pub struct BenchVardiff {
    /// Sessions of each kind; each is followed for hours.
    #[arg(long, default_value_t = 200)]
    sessions: u64,
    /// Few sessions: to see that it works, not to quote.
    #[arg(long, conflicts_with = "sessions")]
    quick: bool,
    /// Print one JSON object instead of the tables.
    #[arg(long)]
    json: bool,
}

impl BenchVardiff {
    /// Simulates.
    pub fn run(self) -> Outcome {
        let sessions = if self.quick { 2 } else { self.sessions.max(1) };
        let mut bar = StepBar::new();
        let tables = tables(sessions, |what, done, total| bar.step(what, done, total));
        drop(bar);
        if self.json {
            say!("{}", serde_json::json!({ "bench": "vardiff", "sessions": sessions, "tables": tables }));
        } else {
            let text: Vec<String> = tables.iter().map(ToString::to_string).collect();
            put!("{}", text.join("\n"));
        }
        Ok(ExitCode::SUCCESS)
    }
}
