//! The program that carries a backup off the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a program that carries a backup off usually has: an off-site copy over a slow line.
pub const CARRYING: Duration = Duration::from_secs(3600);
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
    /// Whoever started it ends, and it was still at work.
    #[error("{0} goes on by itself: nobody waits any more to hear whether it does its work")]
    Left(PathBuf),
}

/// Runs a program with a backup's path as its only argument and waits for it. Its standard output is thrown away, its
/// standard error is ours. Blocks, until `stopped`: then it is left to itself.
///
/// # Errors
/// When it cannot be started, fails, takes longer than `patience`, after which it is killed, or was left.
pub fn run_hook(
    program: &Path,
    backup: &Path,
    patience: Duration,
    stopped: &AtomicBool,
) -> Result<(), HookError> {
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
            None if stopped.load(Ordering::Acquire) => {
                // Its end is still taken note of, as long as there is somebody to do so.
                let _ = std::thread::Builder::new().spawn(move || child.wait());
                return Err(HookError::Left(program.to_owned()));
            }
            None => std::thread::sleep(LOOK.min(patience)),
        }
    }
}
