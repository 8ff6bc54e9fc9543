//! What the commands share towards the terminal: what they say, logging, failures, colours.
//!
//! Whoever reads may go before a command has said everything, as `head` does: it comes to its end then, says no more, and
//! ends with the code that it would have ended with. What cannot be written for another reason, as on a full disk, is a
//! failure, told once.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing_subscriber::EnvFilter;

/// Nobody reads standard output any more.
static UNREAD: AtomicBool = AtomicBool::new(false);
/// Why something could not be written, though somebody may read.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Says a line on standard output.
macro_rules! say {
    ($($words:tt)*) => { $crate::terminal::put(&format!("{}\n", format_args!($($words)*))) };
}

/// Says something on standard output that ends its lines itself.
macro_rules! put {
    ($($words:tt)*) => { $crate::terminal::put(&format!($($words)*)) };
}

/// Says a line on standard error.
macro_rules! tell {
    ($($words:tt)*) => { $crate::terminal::tell(format_args!("{}\n", format_args!($($words)*))) };
}

/// Standard output, whose errors are kept for [`ended`].
pub struct Out;

impl Out {
    /// Whether somebody may still read it.
    pub fn is_read() -> bool {
        !UNREAD.load(Ordering::Relaxed)
    }
}

fn noted<T>(done: io::Result<T>) -> io::Result<T> {
    match &done {
        Err(why) if why.kind() == ErrorKind::BrokenPipe => UNREAD.store(true, Ordering::Relaxed),
        Err(why) if why.kind() != ErrorKind::Interrupted => drop(UNWRITTEN.set(why.to_string())),
        _ => {}
    }
    done
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        noted(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        noted(io::stdout().flush())
    }
}

/// Writes a text to standard output, in one piece.
pub fn put(text: &str) {
    if Out::is_read() {
        // What went wrong is kept.
        let _ = Out.write_all(text.as_bytes());
    }
}

/// Writes to standard error; whether somebody reads it changes nothing.
pub fn tell(words: Arguments<'_>) {
    let _ = io::stderr().write_fmt(words);
}

/// The code that the process ends with, once everything that was said is written: `code`, unless that failed.
pub fn ended(code: ExitCode) -> ExitCode {
    // What went wrong is kept.
    let _ = Out.flush();
    match UNWRITTEN.get() {
        None => code,
        Some(why) => {
            tell!("millpond: standard output cannot be written: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    /// A sentence for the operator.
    pub text: String,
    /// The command line or a file given is wrong, rather than the world.
    pub usage: bool,
}

impl Failure {
    /// Something did not work.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), usage: false }
    }

    /// What was given is wrong.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), usage: true }
    }

    /// 2 for usage, else 1.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            source = inner.source();
        }
        Self::new(text)
    }
}

/// How a command ends.
pub type Outcome = Result<ExitCode, Failure>;

/// Logs go to standard error, so that standard output stays for machines.
pub fn start_logging(verbose: u8, json: bool) {
    let level = match verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("MILLPOND_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second initialisation cannot happen here, and if it did the first would stay.
    let _ = if json { builder.json().try_init() } else { builder.with_ansi(colours()).try_init() };
}

/// Whether standard error takes colours: a terminal, and no NO_COLOR.
pub fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal()
}
