//! `millpond backup`: a verified copy of a data folder, while the pools run.

use crate::commands::note::{note, unless_noted};
use crate::progress::ProgressLine;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_backup::{CARRYING, Done, Plan};
use millpond_types::UnixMillis;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Write a verified backup of a data folder; the pools may run.
///
/// A backup is a new folder in --to, named by the UTC time. It counts when its manifest.json is there. That it was
/// taken is recorded in each pool's hash chain.
/// Exit code 0: it is whole and was carried off. 1: it is not, or not.
#[derive(Debug, Args)]
pub struct Backup {
    /// A configuration: its `host.data` is backed up as its [backup] says.
    #[arg(required_unless_present = "data", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// The data folder, instead of a configuration.
    #[arg(long, requires = "to")]
    data: Option<PathBuf>,
    /// The folder to write the backup into.
    #[arg(long)]
    to: Option<PathBuf>,
    /// A program that is run with the backup's path, to carry it off the machine.
    #[arg(long)]
    then: Option<PathBuf>,
    /// Remove all but this many whole backups. Without it and without [backup] nothing is removed.
    #[arg(long)]
    keep: Option<u16>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

impl Backup {
    /// Does it.
    pub fn run(self) -> Outcome {
        let json = self.json;
        let plan = self.plan()?;
        // A disk that takes no record any more is no reason to have no backup of what is on it.
        unless_noted(note(&plan.data, "backup", &[&plan.to.display().to_string()]));
        let mut line = ProgressLine::new();
        let mut hear = |s: millpond_backup::Step| line.bytes(s.what, s.done, s.total);
        let done = millpond_backup::once(&plan, UnixMillis::now(), &mut hear, &AtomicBool::new(false));
        drop(line);
        let Done { made, not_pruned, not_carried } = done?;
        let manifest = &made.manifest;
        if json {
            let left = not_carried.as_ref().map(ToString::to_string);
            let not_pruned = not_pruned.as_ref().map(ToString::to_string);
            say!(
                "{}",
                serde_json::json!({"path": made.path, "bytes": manifest.bytes(), "files": manifest.files.len(),
                    "pools": manifest.pools, "hook": left, "not_pruned": not_pruned})
            );
        } else {
            say!(
                "{}: whole, {} files, {} bytes",
                made.path.display(),
                manifest.files.len(),
                manifest.bytes()
            );
            for pool in &manifest.pools {
                say!(
                    "  {}: journal up to share {}, ledger up to entry {} ({})",
                    pool.pool,
                    pool.journal.share,
                    pool.ledger.seq,
                    pool.ledger.digest.short()
                );
            }
        }
        match (not_carried, not_pruned) {
            (None, None) => Ok(ExitCode::SUCCESS),
            (Some(why), _) => Err(why.into()),
            (None, Some(why)) => Err(Failure::new(format!("older backups were not removed: {why}"))),
        }
    }

    fn plan(self) -> Result<Plan, Failure> {
        let config = match &self.config {
            Some(file) => Some(millpond_config::load(file).map_err(|why| Failure::usage(why.to_string()))?),
            None => None,
        };
        let section = config.as_ref().and_then(|config| config.backup.as_ref());
        let data = self.data.or_else(|| config.as_ref().map(|config| config.host.data.clone()));
        let to = self.to.or_else(|| section.map(|section| section.to.clone()));
        let (Some(data), Some(to)) = (data, to) else {
            return Err(Failure::usage("name --to DIR, or give the configuration a [backup] with `to`"));
        };
        let then = self.then.or_else(|| section.and_then(|section| section.then.as_ref().map(PathBuf::from)));
        let keep = self.keep.or_else(|| section.map(|section| section.keep)).unwrap_or(u16::MAX);
        let (every, stale_after) = (Duration::ZERO, Duration::MAX);
        Ok(Plan { data, to, every, keep, then, patience: CARRYING, stale_after })
    }
}
