//! `millpond luck`: how improbable each miner's number of blocks is for his work.

use crate::commands::replay::chosen;
use crate::progress::ProgressLine;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_disk::RealDisk;
use millpond_journal::{JournalView, Record};
use millpond_pool::luck::tails;
use millpond_types::{MinerId, PoolName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// 2^64: one block's worth of work in the journal's units.
const BLOCK: f64 = 18_446_744_073_709_551_616.0;

/// Per miner, how improbable his number of blocks is for his work: most improbable first.
///
/// Counted over all shares that the journal still has, each by its work as a part of the network's when it came:
/// the sum is the number of blocks to be expected. A miner who withholds blocks shows as a probability of so few that
/// is too small to be bad luck. With n miners, expect one at 1/n. Works beside a running pool.
#[derive(Debug, Args)]
pub struct Luck {
    /// The data folder.
    #[arg(long, default_value = "millpond-data")]
    data: PathBuf,
    /// One pool instead of all.
    #[arg(long)]
    pool: Option<String>,
    /// One JSON object a pool.
    #[arg(long)]
    json: bool,
}

/// A miner's work and blocks.
#[derive(Debug, Default)]
struct Tally {
    address: String,
    shares: u64,
    /// Sum of parts of the network's work, 2^64 = 1.
    units: u128,
    blocks: BTreeSet<Vec<u8>>,
}

#[derive(Debug, serde::Serialize)]
struct Row {
    miner: MinerId,
    address: String,
    shares: u64,
    expected: f64,
    found: u64,
    /// Probability of so few blocks or fewer.
    at_most: f64,
    /// Probability of so many blocks or more.
    at_least: f64,
}

impl Luck {
    /// Does it.
    pub fn run(self) -> Outcome {
        for name in chosen(&self.data, self.pool)? {
            let (rows, since) = rows(&self.data, &name)?;
            if self.json {
                say!("{}", serde_json::json!({"pool": name, "after_share": since, "miners": rows}));
                continue;
            }
            say!("{name}: shares after {since}");
            say!("{:>12} {:>8} {:>12} {:>12}  miner", "expected", "found", "so few", "so many");
            for row in rows {
                let (few, many) = (row.at_most, row.at_least);
                say!("{:>12.4} {:>8} {few:>12.3e} {many:>12.3e}  {}", row.expected, row.found, row.address);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rows(data: &Path, pool: &PoolName) -> Result<(Vec<Row>, u64), Failure> {
    let journal = data.join(pool.as_str()).join("journal");
    let (view, state) = JournalView::open(Arc::new(RealDisk), &journal)?;
    let mut miners: BTreeMap<MinerId, Tally> = BTreeMap::new();
    for miner in state.miners() {
        miners.entry(miner.id).or_default().address.clone_from(&miner.address);
    }
    let mut line = ProgressLine::new();
    for entry in view.records(0) {
        let entry = entry?;
        match entry.record {
            Record::Shares(block) => {
                for share in &block.shares {
                    let tally = miners.entry(share.miner).or_default();
                    tally.shares += 1;
                    tally.units = tally.units.saturating_add(share.units());
                }
            }
            Record::Solution(solution) => {
                miners.entry(solution.miner).or_default().blocks.insert(solution.block);
            }
            _ => {}
        }
        line.count("records read:", entry.position);
    }
    drop(line);
    let mut rows: Vec<_> = miners
        .into_iter()
        .filter(|(_, tally)| tally.shares > 0 || !tally.blocks.is_empty())
        .map(row)
        .collect();
    let strangeness = |row: &Row| row.at_most.min(row.at_least);
    rows.sort_by(|a, b| strangeness(a).total_cmp(&strangeness(b)).then(a.miner.cmp(&b.miner)));
    Ok((rows, view.dropped().last.0))
}

fn row((miner, tally): (MinerId, Tally)) -> Row {
    let (expected, found) = (tally.units as f64 / BLOCK, tally.blocks.len() as u64);
    let (at_most, at_least) = tails(found, expected);
    Row { miner, address: tally.address, shares: tally.shares, expected, found, at_most, at_least }
}
