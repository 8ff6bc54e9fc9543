//! `millpond restore`: a backup back into a data folder, or a drill of it.

use crate::commands::note::note;
use crate::commands::replay;
use crate::progress::ProgressLine;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_backup::{PoolReport, RESTORED};
use millpond_types::UnixMillis;
use std::path::PathBuf;
use std::process::ExitCode;

/// Restore a backup into a new data folder, or try whether that would work.
///
/// Every file is held against the manifest, and the result is opened and verified before it takes its place.
/// Exit code 0: it is there (or would be). 1: it is not.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup: a folder with a manifest.json.
    from: PathBuf,
    /// The data folder to restore into: new or empty.
    #[arg(long, required_unless_present = "drill", conflicts_with = "drill")]
    data: Option<PathBuf>,
    /// Restore into a temporary folder, verify everything there, and remove it again.
    #[arg(long)]
    drill: bool,
    /// Where a drill makes its temporary folder; the system's place when not given.
    #[arg(long, requires = "drill")]
    within: Option<PathBuf>,
    /// Also recompute every decision about money in the drill, as `millpond replay` does.
    #[arg(long, requires = "drill")]
    replay: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

impl Restore {
    /// Does it.
    pub fn run(self) -> Outcome {
        let mut line = ProgressLine::new();
        let mut hear = |s: millpond_backup::Step| line.bytes(s.what, s.done, s.total);
        let now = UnixMillis::now();
        if self.drill {
            let within = self.within.unwrap_or_else(std::env::temp_dir);
            let drilled = millpond_backup::drill(&self.from, &within, now, &mut hear)?;
            drop(line);
            let mut replayed = Vec::new();
            for pool in drilled.pools.iter().filter(|_| self.replay) {
                let name = &pool.heads.pool;
                let done = replay::replay_pool(drilled.data(), name)
                    .map_err(|why| Failure::new(format!("pool {name}: {}", why.text)))?;
                replayed.push(serde_json::json!({"pool": name, "replay": done}));
            }
            if self.json {
                let pools = &drilled.pools;
                say!(
                    "{}",
                    serde_json::json!({"drill": true, "made": drilled.manifest.made, "pools": pools,
                    "replayed": replayed})
                );
            } else {
                say!("{}: would restore", self.from.display());
                drilled.pools.iter().for_each(show);
                if self.replay {
                    say!("  every decision about money comes out the same");
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let data = self.data.ok_or_else(|| Failure::usage("name --data DIR or --drill"))?;
        let pools = millpond_backup::restore(&self.from, &data, now, &mut hear)?;
        drop(line);
        note(&data, "restore", &[&self.from.display().to_string()])?;
        if self.json {
            say!("{}", serde_json::json!({"drill": false, "data": data, "pools": pools}));
        } else {
            say!("{}: restored from {}", data.display(), self.from.display());
            pools.iter().for_each(show);
            say!(
                "Payments made after the backup are not in these ledgers, so nothing is paid ({} says why): compare each \
                 with its wallet's history, then `millpond payments --pool NAME resume`.\nAdmin tokens are not restored: \
                 make them anew with `millpond token make`.",
                data.join(RESTORED).display()
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(pool: &PoolReport) {
    let (heads, totals) = (&pool.heads, &pool.totals);
    say!("  {}: {} records, newest share {}", heads.pool, pool.records, heads.journal.share);
    say!("    ledger: {} entries, head {}", heads.ledger.seq, heads.ledger.digest.short());
    say!(
        "    income {} = credited {} + fees {} + carried {}; paid {}; payable {}; in flight {}",
        totals.income,
        totals.credited,
        totals.fees,
        totals.carried,
        totals.paid,
        totals.payable,
        totals.in_flight
    );
    say!("    conserved {}", if totals.conserved { "to the unit" } else { "NO" });
}
