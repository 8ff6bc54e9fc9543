//! A line of progress on standard error, when that is a terminal. Without colours; it disappears when it is done.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
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

/// Cells of a bar.
const CELLS: usize = 20;

/// A bar over the steps of something long, with the time that the present one has taken. Where standard error is no
/// terminal, each step is a line.
pub struct StepBar {
    /// To the thread that draws; none where nothing is drawn.
    steps: Option<Sender<(String, usize, usize)>>,
    drawing: Option<JoinHandle<()>>,
}

impl StepBar {
    /// A bar that is not shown yet.
    pub fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { steps: None, drawing: None };
        }
        let (steps, coming) = channel::<(String, usize, usize)>();
        let drawing = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            let mut line = ProgressLine::new();
            let mut now: Option<((String, usize, usize), Instant)> = None;
            loop {
                match coming.recv_timeout(EVERY) {
                    Ok(step) => now = Some((step, Instant::now())),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if let Some(((what, done, total), since)) = &now {
                    line.note(|| bar(what, *done, *total, since.elapsed()));
                }
            }
        });
        // Without a thread nothing is drawn.
        match drawing {
            Ok(drawing) => Self { steps: Some(steps), drawing: Some(drawing) },
            Err(_) => Self { steps: None, drawing: None },
        }
    }

    /// What is done next, and how many of how many steps are behind it.
    pub fn step(&mut self, what: &str, done: usize, total: usize) {
        match &self.steps {
            // Whether somebody sees it changes nothing.
            Some(steps) => drop(steps.send((what.to_owned(), done, total))),
            None => tell!("{} of {total}: {what}", done + 1),
        }
    }
}

impl Drop for StepBar {
    fn drop(&mut self) {
        self.steps = None;
        if let Some(drawing) = self.drawing.take() {
            let _ = drawing.join();
        }
    }
}

/// `[#####---------------] 2 of 8: what, 5 s`.
fn bar(what: &str, done: usize, total: usize, elapsed: Duration) -> String {
    let full = (CELLS * done).checked_div(total).unwrap_or(0).min(CELLS);
    let (full, rest) = ("#".repeat(full), "-".repeat(CELLS - full));
    format!("[{full}{rest}] {} of {total}: {what}, {} s", done + 1, elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_how_many_steps_are_done_and_how_long_the_present_one_takes() {
        let shown = |done, total| bar("hashing", done, total, Duration::from_millis(5_900));
        assert_eq!(shown(2, 8), "[#####---------------] 3 of 8: hashing, 5 s");
        assert_eq!(shown(0, 0), "[--------------------] 1 of 0: hashing, 5 s");
        assert!(shown(8, 8).starts_with("[####################]"));
    }
}
