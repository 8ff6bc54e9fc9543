//! `millpond bench all`: hashes and share path in one run, one object and one page.

use super::bench_hashes::hashes;
use super::bench_share::{finish, own};
use crate::progress::StepBar;
use crate::terminal::Outcome;
use clap::Args;
use millpond_hashrate::section;
use millpond_load::bench::{Table, page};
use std::path::PathBuf;
use std::time::Duration;

/// Take every table of `bench hashes` and `bench share` in one run, with the machine described.
///
/// With the default times it takes half an hour, most of it for the memory of connections that mine. Let the machine do
/// nothing else; the page says how busy it was.
#[derive(Debug, Args)]
pub struct BenchAll {
    /// A folder on a real file system; the pool's data is made in it and removed again. A tmpfs is refused.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Seconds that the miners of the memory table mine before it is looked at.
    #[arg(long, default_value_t = 600)]
    mining: u64,
    /// Seconds for each figure of the hashes, of which a row has up to three.
    #[arg(short, long, default_value_t = 1.0)]
    seconds: f64,
    /// Small numbers and short times: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Write the tables as a page, too.
    #[arg(long)]
    page: Option<PathBuf>,
    /// Print one JSON object instead of the page.
    #[arg(long)]
    json: bool,
}

/// Seconds for each figure of the hashes in a quick run.
const QUICK: f64 = 0.02;

impl BenchAll {
    /// Measures.
    pub fn run(self) -> Outcome {
        let mut bar = StepBar::new();
        let each = if self.quick { QUICK } else { self.seconds };
        // The share path first: the longest of the two finds out soonest that it cannot be measured here.
        let bench = own(self.folder, self.quick, Table::ALL.to_vec(), Duration::from_secs(self.mining))?;
        let mut figures = bench.run(&mut |what, done, total| bar.step(what, done, total))?;
        let (rows, threads) =
            hashes(Vec::new(), each, None, |name, done, total| bar.step(name, done, total))?;
        drop(bar);
        figures.machine.look_again();
        let page = page(&figures, "millpond bench all", &section(&rows, threads));
        let json = serde_json::json!({
            "bench": "all",
            "share": figures,
            "hashes": { "batch": millpond_hashrate::BATCH, "threads": threads, "rows": rows },
        });
        finish(&figures, &page, self.page.as_deref(), self.json.then_some(json))
    }
}
