//! `millpond check`: a configuration file as a whole.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a configuration file: all errors at once, with their lines.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration.
    file: PathBuf,
}

impl Check {
    /// Checks and reports.
    pub fn run(self) -> Outcome {
        let config =
            millpond_config::load(&self.file).map_err(|errors| Failure::usage(errors.to_string()))?;
        let names: Vec<_> = config.pool.iter().map(|pool| pool.name.to_string()).collect();
        println!("{}: good, {} pool(s): {}", self.file.display(), names.len(), names.join(", "));
        Ok(ExitCode::SUCCESS)
    }
}
