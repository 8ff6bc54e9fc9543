//! The money thread: one task after another, each from a record that is durable in the journal.

use crate::books::BooksError;
use crate::core::{Core, Task};
use millpond_alerts::Level;
use millpond_journal::Income;
use millpond_types::UnixMillis;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// What could not be done is tried again, and shares are credited, this often.
const TICK: Duration = Duration::from_secs(1);

pub(crate) fn run(core: &Arc<Core>, tasks: &Receiver<Task>) {
    let mut waiting = true;
    let mut mature: Vec<Income> = Vec::new();
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
        let done = match task {
            Task::Stop => return,
            Task::Found { block } => found(core, &block),
            Task::Income(income) if income.mature => {
                mature.push(*income);
                book_mature(core, &mut mature)
            }
            Task::Income(income) => core.books.divide(&income),
            Task::Lost(key, proof) => {
                mature.retain(|income| income.key != key);
                core.books.lost(&key, &proof, UnixMillis::now())
            }
            Task::Tick => {
                let credited = core.books.credit_shares(UnixMillis::now());
                if waiting {
                    waiting = core.books.catch_up().map_or(true, |left| left > 0);
                }
                credited.and(book_mature(core, &mut mature))
            }
        };
        if let Err(why) = done {
            waiting = true;
            if why.is_told() {
                continue;
            }
            core.alarm(Level::Critical, "money", why.to_string());
        }
    }
}

/// Books what is mature, once it is divided: the journal keeps an income open until then, so that nothing of it is lost
/// when the scheme that has to divide it fails for long.
fn book_mature(core: &Arc<Core>, mature: &mut Vec<Income>) -> Result<(), BooksError> {
    for income in std::mem::take(mature) {
        if !core.books.is_divided(&income)? {
            mature.push(income);
            continue;
        }
        core.journal.record(income.clone()).wait()?;
        core.books.mature(&income)?;
    }
    Ok(())
}

fn found(core: &Arc<Core>, block: &[u8]) -> Result<(), crate::books::BooksError> {
    let (end, _) = core.journal.end_of_block(block)?;
    if core.books.block_found(end.seq, UnixMillis::now())? {
        core.alarms.clear(core.name.as_str(), "swap");
    }
    Ok(())
}
