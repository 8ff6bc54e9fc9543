//! `millpond replay`: every decision about money made again from raw records.

use crate::commands::replay_other::{Export, Other};
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_disk::{Disk, RealDisk};
use millpond_journal::JournalView;
use millpond_ledger::Reader;
use millpond_pool::plugins::PluginStore;
use millpond_pool::policy::Loader;
use millpond_pool::replay::{Replayed, replay};
use millpond_runtime::{Compiler, Sandbox, TracingSink};
use millpond_types::PoolName;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Recompute a pool's ledger from its journal and the plugins that decided, and compare.
///
/// Reads files only; works beside a running pool. Exit code 0: it comes out the same, byte for byte. 1: it does not,
/// or something is damaged or missing; the first difference is named.
///
/// With --scheme: what another scheme would have made of the same records, beside what the ledger has. With --export: the
/// shares without who sent them, for `plugin run --shares`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The data folder.
    #[arg(long, default_value = "millpond-data")]
    data: PathBuf,
    /// One pool instead of all.
    #[arg(long)]
    pool: Option<String>,
    /// One JSON object a pool.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    other: Other,
    #[command(flatten)]
    export: Export,
}

impl Replay {
    /// Does it.
    pub fn run(self) -> Outcome {
        if self.other.is_asked() {
            return self.other.run(&self.data, &chosen(&self.data, self.pool)?, self.json);
        }
        if self.export.is_asked() {
            return self.export.run(&self.data, &chosen(&self.data, self.pool)?, self.other.since);
        }
        let mut good = true;
        for name in chosen(&self.data, self.pool)? {
            match (replay_pool(&self.data, &name), self.json) {
                (Ok(done), true) => {
                    say!("{}", serde_json::json!({"pool": name, "same": true, "replay": done}))
                }
                (Err(why), true) => {
                    good = false;
                    say!("{}", serde_json::json!({"pool": name, "same": false, "why": why.text}));
                }
                (Ok(done), false) => say!(
                    "{name}: the same to the unit: {} entries, {} incomes, {} batches and {} plugin calls from {} \
                     journal records, head {}",
                    done.entries,
                    done.incomes,
                    done.batches,
                    done.calls,
                    done.journal_records,
                    done.head.short()
                ),
                (Err(why), false) => {
                    good = false;
                    tell!("millpond: pool {name}: {}", why.text);
                }
            }
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The pools of a data folder, or the one that was asked for.
pub fn chosen(data: &Path, pool: Option<String>) -> Result<Vec<PoolName>, Failure> {
    let all = millpond_backup::pools(data).map_err(|why| Failure::usage(why.to_string()))?;
    let Some(wanted) = pool else { return Ok(all) };
    let names: Vec<_> = all.iter().map(ToString::to_string).collect();
    let found = all.into_iter().find(|name| name.as_str() == wanted);
    found.map(|name| vec![name]).ok_or_else(|| {
        Failure::usage(format!(
            "there is no pool {wanted:?} in {}; there are: {}",
            data.display(),
            names.join(", ")
        ))
    })
}

/// Replays one pool of a data folder.
pub fn replay_pool(data: &Path, pool: &PoolName) -> Result<Replayed, Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = data.join(pool.as_str());
    // The ledger's end first: a journal that is ahead explains it, one that is behind does not.
    let ledger = Reader::open(Arc::clone(&disk), &folder.join("ledger"))?;
    let (journal, _) = JournalView::open(Arc::clone(&disk), &folder.join("journal"))?;
    let sandbox = Sandbox::new(Some(&data.join("cache")), Compiler::this_executable()?)?;
    let store = PluginStore::open(disk, &folder.join("plugins"))?;
    let loader = Loader::new(sandbox, store, Arc::new(TracingSink));
    Ok(replay(&journal, &ledger, &loader)?)
}
