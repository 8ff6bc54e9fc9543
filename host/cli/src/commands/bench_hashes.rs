//! `millpond bench hashes`: the table of the algorithms.

use crate::progress::StepBar;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_hashrate::{BATCH, HashrateError, Options, Row, measure, section};
use millpond_load::bench::{Machine, Program, machine_table};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

/// Turns that each figure's time is cut into.
const TURNS: u32 = 8;

/// Hashes per second of each native algorithm: with and without this processor's extensions, one at a time and in
/// batches, on one core and on all, beside its public implementation in the same run.
///
/// Implementations take turns and the best turn counts, so that what else the machine does weighs on all alike: take
/// the ratios. An implementation whose result differs from the one beside it is an error, not a row.
#[derive(Debug, Args)]
pub struct BenchHashes {
    /// Only this algorithm or verifier; may be given several times.
    #[arg(short, long)]
    algorithm: Vec<String>,
    /// Seconds for each figure, of which a row has up to three.
    #[arg(short, long, default_value_t = 1.0)]
    seconds: f64,
    /// Threads for the figure of all cores; as many as there are cores unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Write a page with the table and the machine, too.
    #[arg(long)]
    page: Option<PathBuf>,
    /// One JSON object instead of the table; rates are hashes per second.
    #[arg(long)]
    json: bool,
}

/// Measures: `seconds` for each figure, `threads` for that of all cores, or as many as there are cores. Says how many threads
/// that were.
pub(super) fn hashes(
    algorithms: Vec<String>,
    seconds: f64,
    threads: Option<usize>,
    progress: impl FnMut(&str, usize, usize),
) -> Result<(Vec<Row>, usize), Failure> {
    let each = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|each| !each.is_zero() && *each <= Duration::from_secs(600))
        .ok_or_else(|| Failure::usage("--seconds is to be above 0 and at most 600"))?;
    let cores = available_parallelism().map_or(1, usize::from);
    let threads = threads.unwrap_or(cores).clamp(1, 1024);
    let rows =
        measure(&Options { algorithms, each, turns: TURNS, threads }, progress).map_err(
            |error| match error {
                HashrateError::Unknown { .. } => Failure::usage(error.to_string()),
                HashrateError::Wrong { .. } => Failure::new(error.to_string()),
            },
        )?;
    Ok((rows, threads))
}

impl BenchHashes {
    /// Measures.
    pub fn run(self) -> Outcome {
        let mut machine = Machine::look(None)?;
        let mut bar = StepBar::new();
        let (rows, threads) = hashes(self.algorithm, self.seconds, self.threads, |name, done, total| {
            bar.step(name, done, total);
        })?;
        drop(bar);
        machine.look_again();
        if let Some(path) = &self.page {
            let program = Program::of(&std::env::current_exe()?);
            let page = format!(
                "# Hashes\n\nWritten by `millpond bench hashes --page FILE`.\n\n{}{}",
                machine_table(&machine, &program),
                section(&rows, threads)
            );
            std::fs::write(path, page)
                .map_err(|why| Failure::new(format!("{} cannot be written: {why}", path.display())))?;
        }
        if self.json {
            say!(
                "{}",
                serde_json::json!({
                    "bench": "hashes", "batch": BATCH, "threads": threads, "machine": machine, "rows": rows
                })
            );
        } else {
            put!("{}", table(&rows, threads));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Thousands of hashes per second, and how many times the public crate's single hashes that is.
fn table(rows: &[Row], threads: usize) -> String {
    let mut text = format!(
        "Thousands of hashes per second; in brackets, times the public crate's. Batches of {BATCH}.\n\
         {:<18} {:>5}  {:<24} {:<20} {:>17} {:>19} {:>14}\n",
        "algorithm",
        "bytes",
        "by",
        "processor",
        "one by one",
        "in batches",
        format!("{threads} threads")
    );
    for row in rows {
        let public = rows.iter().find(|other| other.algorithm == row.algorithm && other.by != "millpond");
        let times = |rate: f64| match public {
            Some(public) if row.by == "millpond" => format!(" ({:.2})", rate / public.single),
            _ => String::new(),
        };
        let rate = |rate: f64| format!("{:.1}{}", rate / 1e3, times(rate));
        text.push_str(&format!(
            "{:<18} {:>5}  {:<24} {:<20} {:>17} {:>19} {:>14.1}\n",
            row.algorithm,
            row.width,
            row.by,
            row.processor,
            rate(row.single),
            row.batch.map_or_else(String::new, rate),
            row.all_cores / 1e3
        ));
    }
    text
}
