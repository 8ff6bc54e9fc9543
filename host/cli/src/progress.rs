//! A line of progress on standard error, when that is a terminal. Without colours; it disappears when it is done.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The line is written anew this often.
const EVERY: Duration = Duration::from_millis(100);

/// The line.
pub struct ProgressLine {
    shown: Option<Instant>,
    terminal: bool,
}

impl ProgressLine {
    /// A line that is not shown yet.
    pub fn new() -> Self {
        Self { shown: None, terminal: std::io::stderr().is_terminal() }
    }

    /// Shows how far something is, in MiB; `total` 0 when it is not known.
    pub fn bytes(&mut self, what: &str, done: u64, total: u64) {
        let (done, total) = (done >> 20, total >> 20);
        self.show(|| {
            if total == 0 { format!("{what} {done} MiB") } else { format!("{what} {done} of {total} MiB") }
        });
    }

    /// Shows how many were done.
    pub fn count(&mut self, what: &str, done: u64) {
        self.show(|| format!("{what} {done}"));
    }

    /// Shows what is being done.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        self.show(text);
    }

    fn show(&mut self, text: impl FnOnce() -> String) {
        if self.terminal && self.shown.is_none_or(|shown| shown.elapsed() >= EVERY) {
            self.shown = Some(Instant::now());
            // Whether somebody sees it changes nothing.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", text()).and_then(|()| std::io::stderr().flush());
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
