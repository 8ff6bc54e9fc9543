//! Jobs end with their time: a timer takes them off the table, and the operator hears of it when nothing follows.
//!
//! An adapter that fell silent (in quarantine without an older version, or with no node that answers) leaves its last
//! job: miners are served that one until it expires, and nothing after that, since work on a template that nobody
//! renews is work on a chain that may have gone on.

use crate::core::Core;
use millpond_alerts::Level;
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
        look(&core, UnixMillis::now());
    }
}

fn look(core: &Arc<Core>, now: UnixMillis) {
    let Some(ended) = core.jobs.expire(now) else { return };
    let status = core.chain().map(|chain| chain.status()).unwrap_or_default();
    let why = status.quarantined.or(status.stopped).or(status.last_error);
    let why = why.unwrap_or_else(|| "no node gave a newer template".to_owned());
    let text = format!(
        "job {} has expired and nothing follows it, miners have no work that counts: {why}",
        ended.id
    );
    core.alarm(Level::Critical, ABOUT, text);
}
