//! `millpond simulate`: pools in simulated time.

use crate::commands::simulate_selftest::SimulateSelftest;
use crate::terminal::Outcome;
use clap::{Args, Subcommand};

/// Simulate pools.
#[derive(Debug, Args)]
pub struct Simulate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure the known figures of payout schemes over the code that pays, and hold them to their formulas.
    Selftest(SimulateSelftest),
}

impl Simulate {
    /// Runs.
    pub fn run(self) -> Outcome {
        match self.what {
            What::Selftest(command) => command.run(),
        }
    }
}
