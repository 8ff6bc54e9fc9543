//! `millpond bench simulate`: share-steps a second, natively and as components.

use crate::commands::simulate::components;
use crate::progress::StepBar;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_simulate::speeds;
use std::process::ExitCode;

/// Measure the simulator on one thread: a hundred miners, 100,000 shares to a block, five schemes at once and each alone as
/// native code, and as components in batches of 1,000, 10,000 and 65,000 rows. A share that a scheme takes is a share-step.
/// Exit code 1 when native code and component give other bytes.
#[derive(Debug, Args)]
pub struct BenchSimulate {
    /// Shares of each measurement; a quarter of them for components.
    #[arg(long, default_value_t = 8_000_000)]
    shares: u64,
    /// Few shares: to see that it works, not to quote.
    #[arg(long, conflicts_with = "shares")]
    quick: bool,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

impl BenchSimulate {
    /// Measures.
    pub fn run(self) -> Outcome {
        let shares = if self.quick { 400_000 } else { self.shares };
        let plugins = components()?;
        let mut bar = StepBar::new();
        let speeds = speeds(&plugins, shares, |what, done, total| bar.step(what, done, total))
            .map_err(|error| Failure::new(error.to_string()))?;
        drop(bar);
        let same = speeds.iter().all(|speed| speed.same != Some(false));
        if self.json {
            say!("{}", serde_json::json!({ "bench": "simulate", "shares": shares, "speeds": speeds }));
        } else {
            say!(
                "| schemes | how | rows of a batch | shares/s | share-steps/s | same bytes |\n|---|---|---|---|---|---|"
            );
            for speed in &speeds {
                let same = speed.same.map_or("-", |same| if same { "yes" } else { "NO" });
                say!(
                    "| {} | {} | {} | {:.2} M | {:.2} M | {same} |",
                    speed.schemes.join(", "),
                    speed.how,
                    speed.rows,
                    speed.shares_per_second / 1e6,
                    speed.steps_per_second / 1e6
                );
            }
        }
        Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}
