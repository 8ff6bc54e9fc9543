//! `millpond simulate selftest`: the table of known figures.

use crate::progress::StepBar;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_selftest::{Failure as Reason, Options, SEED, rows, run};
use std::process::ExitCode;

/// Measure the figures that the literature has of payout schemes, each over the code of the bundled scheme, and print them
/// beside their formulas.
///
/// A row passes when its figure is within 4 sigma of the formula, with so many samples that 1 % would be 8 sigma; when the
/// formula 1 % up and 1 % down does not hold; and when its twin, which is wrong in one thing, is seen to be. Equal seeds give
/// equal bytes on any machine and by any number of threads. Ends with 1 where a row does not pass.
#[derive(Debug, Args)]
pub struct SimulateSelftest {
    /// Only these rows: `7` is all of its rows, `7-unpaid` is one. May be given again.
    #[arg(long, value_name = "ROW")]
    row: Vec<String>,
    /// Another seed gives other random numbers: rows pass under any, but for one row in some thousand.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Threads; one for each processor where it is left out.
    #[arg(long)]
    threads: Option<std::num::NonZeroUsize>,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
    /// Print the rows with their formulas, and measure nothing.
    #[arg(long, conflicts_with_all = ["row", "threads"])]
    list: bool,
}

impl SimulateSelftest {
    /// Measures.
    pub fn run(self) -> Outcome {
        if self.list {
            return list(self.json);
        }
        let options = Options {
            seed: self.seed,
            rows: self.row,
            threads: self.threads.map(std::num::NonZeroUsize::get),
        };
        let mut bar = StepBar::new();
        let report = run(&options, |what, done, total| bar.step(what, done, total));
        drop(bar);
        let report = report.map_err(|reason| match reason {
            Reason::NoRow { .. } => Failure::usage(reason.to_string()),
            other => Failure::from(other),
        })?;
        if self.json {
            say!("{}", serde_json::to_string(&report)?);
        } else {
            put!("{report}");
        }
        for complaint in report.complaints() {
            tell!("millpond: {complaint}");
        }
        Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn list(json: bool) -> Outcome {
    let rows = rows();
    if json {
        say!("{}", serde_json::to_string(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("| row | figure | code | formula | expected | n | twin |\n|---|---|---|---|---|---|---|");
    for row in rows {
        say!(
            "| {} | {} | {} | {} | {:.7} | {} | {} |",
            row.row,
            row.what,
            row.code,
            row.formula,
            row.expected,
            row.samples,
            row.twin
        );
    }
    Ok(ExitCode::SUCCESS)
}
