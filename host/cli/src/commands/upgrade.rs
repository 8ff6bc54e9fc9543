//! `millpond upgrade`: a running process gives way to this program.

use crate::commands::admin::{Door, field};
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_admin::Command;
use std::path::PathBuf;
use std::process::ExitCode;

/// Have a running process give way to this program, or another: sockets and sessions pass over, no miner is disconnected.
///
/// The new process loads configuration and plugins while the old one serves on; then miners wait while files are closed
/// and opened again. If the new one has no work for them in time, or ends, the old one goes on. Sessions over TLS are
/// closed and can be resumed by their name. The new process reads the configuration file anew.
#[derive(Debug, Args)]
pub struct Upgrade {
    #[command(flatten)]
    door: Door,
    /// The program that takes over; this one unless it is named.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Seconds that it has to become healthy while miners wait.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: u64,
    /// Take over also when sessions are lost by it, or when the new program writes data that the old one cannot read.
    #[arg(long)]
    force: bool,
    /// JSON.
    #[arg(long)]
    json: bool,
}

impl Upgrade {
    /// Does it.
    pub fn run(self) -> Outcome {
        let program = match self.program {
            Some(program) => program,
            None => std::env::current_exe()?,
        };
        let program = program
            .canonicalize()
            .map_err(|why| Failure::usage(format!("--program {}: {why}", program.display())))?;
        let command = Command::Upgrade { program, patience: self.patience, force: self.force };
        if self.json {
            return self.door.send(&command);
        }
        let done = self.door.ask(&command)?;
        say!(
            "process {} (millpond {}) goes on with {} sessions; miners waited {} ms",
            field(&done, "process"),
            field(&done, "version"),
            field(&done, "sessions"),
            field(&done, "pause_ms"),
        );
        Ok(ExitCode::SUCCESS)
    }
}
