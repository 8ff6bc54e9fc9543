//! What the commands share towards the terminal: logging, failures, colours.

use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

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
