//! What a command does beside the running process, into the hash chains of a data folder's pools: by the process that
//! has them open, or at rest.

use crate::terminal::Failure;
use millpond_admin::{Answer, Command, SocketError, ask};
use millpond_backup::{BackupError, pools};
use millpond_disk::{Disk, RealDisk};
use millpond_pool::orders::note_at_rest;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The running process has this long to make a note durable.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records an action in every pool of a data folder, before it is done. A folder without pools has no chain.
///
/// # Errors
/// When it could not be recorded.
pub fn note(data: &Path, action: &str, args: &[&str]) -> Result<(), Failure> {
    let actor = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let command = Command::Note {
        action: action.to_owned(),
        args: args.iter().map(|&argument| argument.to_owned()).collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let socket = data.join("admin.sock");
    let asked = async { tokio::time::timeout(PATIENCE, ask(&socket, &actor, command, None)).await };
    let Ok(answer) = runtime.block_on(asked) else {
        let seconds = PATIENCE.as_secs();
        return Err(Failure::new(format!("the running process did not record it within {seconds} s")));
    };
    match answer {
        Ok(Answer::Done(_)) => Ok(()),
        Ok(Answer::Refused(why)) => Err(Failure::new(why.to_string())),
        Ok(Answer::Underway(what)) => Err(Failure::new(what)),
        Ok(Answer::Confirm { .. }) => Err(Failure::new("the process asks for a confirmation of a note")),
        Err(SocketError::Nobody(..)) => at_rest(data, &format!("local:{actor}"), action, args),
        Err(why) => Err(why.into()),
    }
}

fn at_rest(data: &Path, actor: &str, action: &str, args: &[&str]) -> Result<(), Failure> {
    let names = match pools(data) {
        Ok(names) => names,
        Err(BackupError::NoPool(_)) => return Ok(()),
        Err(why) => return Err(why.into()),
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let _lock = disk.lock(&data.join("lock")).map_err(|why| {
        Failure::new(format!("a millpond on {} is starting or ending, try again: {why}", data.display()))
    })?;
    for name in names {
        let ledger = data.join(name.as_str()).join("ledger");
        note_at_rest(Arc::clone(&disk), &ledger, (actor, action), args)
            .map_err(|why| Failure::new(format!("pool {name}: {action} could not be recorded: {why}")))?;
    }
    Ok(())
}

/// Says that something was not recorded that is done all the same.
pub fn unless_noted(noted: Result<(), Failure>) {
    if let Err(why) = noted {
        tell!("millpond: not recorded: {}", why.text);
    }
}
