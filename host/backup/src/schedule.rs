//! Backups on a schedule, and the alarm when the newest is too old.

use crate::{BackupError, HookError, Made, Progress, backup, newest, pools, prune, run_hook};
use millpond_alerts::{Alarms, Level};
use millpond_disk::{Disk, RealDisk};
use millpond_types::UnixMillis;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What alarms of this room are about.
const ABOUT: &str = "backup";
/// The schedule is looked at this often.
const LOOK: Duration = Duration::from_secs(30);
/// After a failure the next attempt waits this long, or as long as the schedule's own step when that is shorter.
const AGAIN: Duration = Duration::from_secs(600);

/// How backups are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The data folder.
    pub data: PathBuf,
    /// Where to.
    pub to: PathBuf,
    /// How often.
    pub every: Duration,
    /// Whole ones to keep.
    pub keep: u16,
    /// A program run with each backup's path.
    pub then: Option<PathBuf>,
    /// How long that program may take.
    pub patience: Duration,
    /// An alarm is raised when the newest is older than this.
    pub stale_after: Duration,
}

/// A backup as planned, whole whatever else is told here.
#[derive(Debug)]
pub struct Done {
    /// The backup.
    pub made: Made,
    /// Why older ones were not removed.
    pub not_pruned: Option<BackupError>,
    /// Why it was not carried off.
    pub not_carried: Option<HookError>,
}

/// Makes one backup as planned: written, verified, older ones pruned, carried off. When it is `stopped` while it is carried
/// off, that is not waited for. Blocks.
///
/// # Errors
/// As [`backup`].
pub fn once(
    plan: &Plan,
    now: UnixMillis,
    hear: &mut Progress<'_>,
    stopped: &AtomicBool,
) -> Result<Done, BackupError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let made = backup(&disk, &plan.data, &pools(&plan.data)?, &plan.to, now, hear)?;
    // An old one that stays is no reason to leave the new one on this machine.
    let not_pruned = prune(&plan.to, plan.keep).err();
    let carry = |program: &PathBuf| run_hook(program, &made.path, plan.patience, stopped).err();
    let not_carried = plan.then.as_ref().and_then(carry);
    Ok(Done { made, not_pruned, not_carried })
}

/// Whether something that was last done then is to be done now. A clock that went back counts as no time.
#[must_use]
pub fn due(last: Option<UnixMillis>, now: UnixMillis, every: Duration) -> bool {
    last.is_none_or(|last| u128::from(now.since(last)) >= every.as_millis())
}

/// What the schedule remembers between two looks.
#[derive(Clone, Debug)]
pub struct Watch {
    started: UnixMillis,
    tried: Option<UnixMillis>,
    stopped: Arc<AtomicBool>,
}

impl Watch {
    /// At the process's start: from here on, a folder without any backup becomes stale.
    #[must_use]
    pub fn new(now: UnixMillis) -> Self {
        Self { started: now, tried: None, stopped: Arc::default() }
    }

    /// One look: makes a backup when one is due, raises and clears alarms. Blocks while one is made.
    pub fn look(&mut self, plan: &Plan, now: UnixMillis, alarms: &Alarms) {
        let found = newest(&plan.to);
        let last = match &found {
            Ok(found) => found.as_ref().map(|kept| kept.made),
            Err(why) => {
                alarms.raise(Level::Warning, "", ABOUT, format!("backups cannot be looked at: {why}"));
                None
            }
        };
        let rested = due(self.tried, now, plan.every.min(AGAIN));
        if rested && due(last, now, plan.every) {
            self.tried = Some(now);
            match once(plan, now, &mut |_| {}, &self.stopped) {
                Ok(Done { made, not_pruned, not_carried }) => {
                    let path = made.path.display();
                    tracing::info!(%path, bytes = made.manifest.bytes(), "a backup was written and verified");
                    alarms.clear("", ABOUT);
                    let warn = |text: String| alarms.raise(Level::Warning, "", ABOUT, text);
                    if let Some(why) = not_pruned {
                        warn(format!("a backup was written, and older ones were not removed: {why}"));
                    }
                    match not_carried {
                        Some(why @ HookError::Left(_)) => {
                            tracing::warn!(%path, %why, "a backup is carried off")
                        }
                        Some(why) => warn(format!("a backup was not carried off: {why}")),
                        None => {}
                    }
                    return;
                }
                Err(why) => alarms.raise(Level::Warning, "", ABOUT, format!("no backup was written: {why}")),
            }
        }
        if due(Some(last.unwrap_or(self.started)), now, plan.stale_after) {
            let to = plan.to.display();
            let hours = plan.stale_after.as_secs() / 3600;
            let text = match last {
                None => format!("there is no whole backup in {to}"),
                Some(_) => format!("the newest backup in {to} is older than {hours} h"),
            };
            alarms.raise(Level::Critical, "", ABOUT, text);
        }
    }
}

/// A schedule that runs on a thread of its own until this is dropped; a backup that is being written is finished
/// first, and what carries one off is left to itself.
#[derive(Debug)]
pub struct Scheduled {
    stop: Option<Sender<()>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Scheduled {
    fn drop(&mut self) {
        self.stop = None;
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the backup thread panicked");
        }
    }
}

/// Starts a schedule.
///
/// # Errors
/// When there is no thread to be had.
pub fn start(plan: Plan, alarms: Alarms) -> std::io::Result<Scheduled> {
    let (stop, end) = channel();
    let watch = Watch::new(UnixMillis::now());
    let stopped = Arc::clone(&watch.stopped);
    let run = move || run(watch, &plan, &alarms, &end);
    let thread = std::thread::Builder::new().name("backup".to_owned()).spawn(run)?;
    Ok(Scheduled { stop: Some(stop), stopped, thread: Some(thread) })
}

fn run(mut watch: Watch, plan: &Plan, alarms: &Alarms, end: &Receiver<()>) {
    loop {
        watch.look(plan, UnixMillis::now(), alarms);
        match end.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
