//! Jobs end with their time: a timer takes them off the table, and the operator hears of it when nothing follows.
//!
//! An adapter that fell silent (in quarantine without an older version, or with no node that answers) leaves its last
//! job: miners are served that one until it expires, and nothing after that, since work on a template that nobody
//! renews is work on a chain that may have gone on.

use crate::core::Core;
use crate::view::Bodies;
use millpond_alerts::Level;
use millpond_bodies::Body;
use millpond_types::UnixMillis;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How late a job may end.
const TICK: Duration = Duration::from_millis(500);
/// What the alarm is about.
pub(crate) const ABOUT: &str = "jobs";

/// Runs until the pool is gone.
pub(crate) async fn watch(core: Weak<Core>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(core) = core.upgrade() else { return };
        let now = UnixMillis::now();
        look(&core, now);
        core.stats.sweep(now);
    }
}

fn look(core: &Arc<Core>, now: UnixMillis) {
    let ended = core.jobs.expire(now);
    fold(core);
    let Some(ended) = ended else { return };
    let status = core.chain().map(|chain| chain.status()).unwrap_or_default();
    let why = status.quarantined.or(status.stopped).or(status.last_error);
    let why = why.unwrap_or_else(|| "no node gave a newer template".to_owned());
    let text = format!(
        "job {} has expired and nothing follows it, miners have no work that counts: {why}",
        ended.id
    );
    core.alarm(Level::Critical, ABOUT, text);
}

/// Jobs that left the table take what they were checked with along, and of the bodies of those that stay all but the
/// newest are folded.
fn fold(core: &Arc<Core>) {
    // One above the last is about to be published, or was since.
    let last = core.jobs.last();
    let jobs = core.jobs.all();
    core.ready.lock().retain(|id, _| Some(*id) > last || jobs.iter().any(|(job, _)| job.id == *id));
    let newest = jobs.last().and_then(|(job, _)| job.body.clone());
    let whole = |body: &Arc<Body>| {
        body.would_fold() && newest.as_ref().is_none_or(|newest| !Arc::ptr_eq(newest, body))
    };
    let whole: Vec<Arc<Body>> = jobs.iter().filter_map(|(job, _)| job.body.clone()).filter(whole).collect();
    if !whole.is_empty() {
        // Milliseconds for each, which no miner shall wait for.
        let pieces = Arc::clone(&core.pieces);
        drop(tokio::task::spawn_blocking(move || {
            // Whoever folds already folds these as well, or they are found at the next tick.
            if let Some(mut pieces) = pieces.try_lock() {
                whole.iter().for_each(|body| body.fold(&mut pieces));
            }
        }));
    }
}

/// What the bodies of the jobs take. Jobs that share one count it once.
pub(crate) fn bodies(core: &Core) -> Bodies {
    let mut kept: Vec<Arc<Body>> = core.jobs.all().iter().filter_map(|(job, _)| job.body.clone()).collect();
    // Templates of two nodes may alternate.
    kept.sort_by_key(|body| Arc::as_ptr(body).addr());
    kept.dedup_by(|a, b| Arc::ptr_eq(a, b));
    let whole = kept.iter().filter(|body| !body.is_folded()).map(|body| body.len() as u64).sum();
    Bodies { whole, pieces: core.pieces.lock().kept().1 as u64 }
}
