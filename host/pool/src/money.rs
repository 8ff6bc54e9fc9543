//! The money thread: one task after another, each from a record that is durable in the journal.

use crate::books::BooksError;
use crate::core::{Core, Task};
use millpond_alerts::Level;
use millpond_types::UnixMillis;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// What could not be done is tried again, and shares are credited, this often.
const TICK: Duration = Duration::from_secs(1);

/// What a crash or a failure left to do.
struct Undone {
    /// The journal may have closed incomes that are open in the ledger.
    closing: bool,
    /// Incomes may wait for their division.
    waiting: bool,
}

pub(crate) fn run(core: &Arc<Core>, tasks: &Receiver<Task>) {
    let mut undone = Undone { closing: true, waiting: true };
    // At once, so that what a crash left undone comes before all that is new; and then as often however much comes.
    let mut next = Instant::now();
    loop {
        let left = next.saturating_duration_since(Instant::now());
        if left.is_zero() {
            tick(core, &mut undone);
            next = Instant::now() + TICK;
            continue;
        }
        let task = match tasks.recv_timeout(left) {
            Ok(task) => task,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let _span = task.span(core).entered();
        let done = match task {
            Task::Stop => return,
            Task::Found { block } => found(core, &block),
            Task::Income(income) => core.books.divide(&income),
            Task::Mature(income) => core.books.mature(&income),
            Task::Lost(key, proof) => core.books.lost(&key, &proof, UnixMillis::now()),
        };
        if let Err(why) = done {
            undone.waiting = true;
            told(core, &why);
        }
    }
}

/// Tells the operator, unless a plugin's failure was told where it happened.
fn told(core: &Core, why: &BooksError) {
    if why.is_told() {
        return;
    }
    core.alarm(Level::Critical, "money", why.to_string());
}

fn tick(core: &Core, undone: &mut Undone) {
    if undone.closing {
        match core.books.close_closed() {
            Ok(done) => {
                undone.closing = false;
                if done > 0 {
                    tracing::info!(pool = %core.name, done, "booked what a crash had left unbooked");
                }
            }
            Err(why) => told(core, &why),
        }
    }
    if undone.waiting {
        match core.books.catch_up() {
            Ok(left) => undone.waiting = left > 0,
            Err(why) => told(core, &why),
        }
    }
    if let Err(why) = core.books.credit_shares(UnixMillis::now()) {
        told(core, &why);
    }
}

fn found(core: &Arc<Core>, block: &[u8]) -> Result<(), BooksError> {
    let (end, _) = core.journal.end_of_block(block)?;
    if core.books.block_found(end.seq, end.time)? {
        core.alarms.clear(core.name.as_str(), "swap");
    }
    Ok(())
}
