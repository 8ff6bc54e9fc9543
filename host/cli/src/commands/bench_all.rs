//! `millpond bench all`: hashes and share path in one run, one object and one page.

use super::bench_hashes::hashes;
use super::bench_share::How;
use crate::progress::StepBar;
use crate::terminal::Outcome;
use clap::Args;
use millpond_hashrate::section;
use millpond_load::bench::{Table, page};

/// Take every table of `bench hashes` and `bench share` in one run, with the machine described.
///
/// With the default times it takes half an hour, most of it for the memory of connections that mine. Let the machine do
/// nothing else; the page says how busy it was.
#[derive(Debug, Args)]
pub struct BenchAll {
    #[command(flatten)]
    how: How,
    /// Seconds for each figure of the hashes, of which a row has up to three.
    #[arg(short, long, default_value_t = 1.0)]
    seconds: f64,
}

/// Seconds for each figure of the hashes in a quick run.
const QUICK: f64 = 0.02;

impl BenchAll {
    /// Measures.
    pub fn run(self) -> Outcome {
        let mut bar = StepBar::new();
        let each = if self.how.quick { QUICK } else { self.seconds };
        // The share path first: the longest of the two finds out soonest that it cannot be measured here.
        let bench = self.how.bench(Table::ALL.to_vec())?;
        let mut figures = bench.run(&mut |what, done, total| bar.step(what, done, total))?;
        let (rows, threads) =
            hashes(Vec::new(), each, None, |name, done, total| bar.step(name, done, total))?;
        drop(bar);
        figures.machine.look_again();
        let page = page(&figures, "millpond bench all", &section(&rows, threads));
        self.how.finish(&figures, &page, || {
            Ok(serde_json::json!({
                "bench": "all",
                "share": figures,
                "hashes": { "batch": millpond_hashrate::BATCH, "threads": threads, "rows": rows },
            }))
        })
    }
}
