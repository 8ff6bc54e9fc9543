//! Which program figures were taken with.

use serde::Serialize;
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

/// A program.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// Its version.
    pub version: &'static str,
    /// Its commit as far as it can be told: what the build was given as `MILLPOND_COMMIT`, or the newest commit of the checkout
    /// it lies in that is not younger than its file, with "and changes" when files differ from their commit; "unknown".
    pub commit: String,
}

impl Program {
    /// The program in a file, which is of this build.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let built = option_env!("MILLPOND_COMMIT").map(str::to_owned);
        let commit = built.or_else(|| of_checkout(file)).unwrap_or_else(|| "unknown".to_owned());
        Self { version: env!("CARGO_PKG_VERSION"), commit }
    }
}

fn of_checkout(file: &Path) -> Option<String> {
    let made = std::fs::metadata(file).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let folder = file.parent()?;
    let git = |arguments: &[&str]| {
        let done = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let before = format!("--before=@{}", made.as_secs());
    let commit = git(&["log", "-1", "--format=%h", &before]).filter(|commit| !commit.is_empty())?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit} and changes") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_lies_in_no_checkout_is_of_an_unknown_commit() {
        assert_eq!(of_checkout(Path::new("/proc/self/exe")), None);
        assert_eq!(of_checkout(Path::new("/nowhere/at/all")), None);
        assert_eq!(Program::of(Path::new("/nowhere/at/all")).version, env!("CARGO_PKG_VERSION"));
    }
}
