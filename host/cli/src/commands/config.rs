//! `millpond config`: the example and the reference.

use crate::terminal::Outcome;
use clap::Args;
use std::process::ExitCode;

/// Print an example configuration with every option, or the reference.
#[derive(Debug, Args)]
pub struct ConfigCommand {
    /// The reference in Markdown instead of the example.
    #[arg(long)]
    reference: bool,
}

impl ConfigCommand {
    /// Prints it.
    pub fn run(self) -> Outcome {
        put!("{}", if self.reference { millpond_config::reference() } else { millpond_config::example() });
        Ok(ExitCode::SUCCESS)
    }
}
