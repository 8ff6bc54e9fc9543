//! `millpond bench`: the measurements that anyone can take again.

use crate::commands::bench_all::BenchAll;
use crate::commands::bench_hashes::BenchHashes;
use crate::commands::bench_share::BenchShare;
use crate::commands::bench_simulate::BenchSimulate;
use crate::commands::bench_vardiff::BenchVardiff;
use crate::terminal::Outcome;
use clap::{Args, Subcommand};

/// Measure this machine and this program.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All tables of the two others in one run: one object, one page.
    All(BenchAll),
    /// Hashes per second of each algorithm, one core and all, beside the public crates.
    Hashes(BenchHashes),
    /// The way of a share: CPU per share, latency, memory of a connection, logins, new blocks, beside a bare echo loop.
    Share(BenchShare),
    /// Share-steps a second of the simulator, natively and as components.
    Simulate(BenchSimulate),
    /// Difficulties of simulated miners under our rule, ckpool's and miningcore's.
    Vardiff(BenchVardiff),
}

impl Bench {
    /// Runs.
    pub fn run(self) -> Outcome {
        match self.what {
            What::All(command) => command.run(),
            What::Hashes(command) => command.run(),
            What::Share(command) => command.run(),
            What::Simulate(command) => command.run(),
            What::Vardiff(command) => command.run(),
        }
    }
}
