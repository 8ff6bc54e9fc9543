//! The program that carries a backup off the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often the program is looked after.
const LOOK: Duration = Duration::from_millis(20);

/// The program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It is not there or may not be run.
    #[error("{0} cannot be started: {1}")]
    Start(PathBuf, std::io::Error),
    /// It took too long and was ended.
    #[error("{0} took longer than {1} s and was ended; the backup itself is whole")]
    Late(PathBuf, u64),
    /// It said that it failed.
    #[error("{0} ended with {1}; the backup itself is whole")]
    Failed(PathBuf, std::process::ExitStatus),
}

/// Runs a program with a backup's path as its only argument and waits for it. Its standard output is thrown away, its
/// standard error is ours. Blocks.
///
/// # Errors
/// When it cannot be started, fails, or takes longer than `patience`, after which it is killed.
pub fn run_hook(program: &Path, backup: &Path, patience: Duration) -> Result<(), HookError> {
    let start = |why| HookError::Start(program.to_owned(), why);
    let mut child = Command::new(program)
        .arg(backup)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(start)?;
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(start)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(HookError::Failed(program.to_owned(), status)),
            None if begun.elapsed() >= patience => {
                // It may have ended by itself in this moment: then there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
                return Err(HookError::Late(program.to_owned(), patience.as_secs()));
            }
            None => std::thread::sleep(LOOK.min(patience)),
        }
    }
}
