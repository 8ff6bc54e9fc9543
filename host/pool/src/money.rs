//! The money thread: one task after another, each from a record that is durable in the journal.

use crate::core::{Core, Task};
use millpond_alerts::Level;
use millpond_types::UnixMillis;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// What could not be done is tried again, and shares are credited, this often.
const TICK: Duration = Duration::from_secs(1);

pub(crate) fn run(core: &Arc<Core>, tasks: &Receiver<Task>) {
    let mut waiting = true;
    match core.books.close_closed() {
        Ok(0) => {}
        Ok(done) => tracing::info!(pool = %core.name, done, "booked what a crash had left unbooked"),
        Err(why) => core.alarm(Level::Critical, "money", why.to_string()),
    }
    loop {
        let task = match tasks.recv_timeout(TICK) {
            Ok(task) => task,
            Err(RecvTimeoutError::Timeout) => Task::Tick,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let _span = task.span(core).entered();
        let done = match task {
            Task::Stop => return,
            Task::Found { block } => found(core, &block),
            Task::Income(income) if income.mature => core.books.mature(&income),
            Task::Income(income) => core.books.divide(&income),
            Task::Lost(key, proof) => core.books.lost(&key, &proof, UnixMillis::now()),
            Task::Tick => {
                let credited = core.books.credit_shares(UnixMillis::now());
                if waiting {
                    waiting = core.books.catch_up().map_or(true, |left| left > 0);
                }
                credited
            }
        };
        if let Err(why) = done {
            waiting = true;
            core.alarm(Level::Critical, "money", why.to_string());
        }
    }
}

fn found(core: &Arc<Core>, block: &[u8]) -> Result<(), crate::books::BooksError> {
    let (end, _) = core.journal.end_of_block(block)?;
    if core.books.block_found(end.seq, UnixMillis::now())? {
        core.alarms.clear(core.name.as_str(), "swap");
    }
    Ok(())
}
