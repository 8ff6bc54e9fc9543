//! `millpond mine`: a CPU miner on any Stratum V1 pool, to try a pool out.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_miner::{MineError, Options, Progress, Summary, mine};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Mine on this machine's processor, to try a pool out: it earns nothing on a real network.
#[derive(Debug, Args)]
pub struct Mine {
    /// The pool: `host:port` or `stratum+tcp://host:port`.
    pool: String,
    /// The login: an address, or `address.worker`.
    #[arg(short, long)]
    user: String,
    /// The password; `d=1024` asks for a difficulty.
    #[arg(short, long, default_value = "x")]
    password: String,
    /// Threads that hash.
    #[arg(short, long, default_value_t = 1)]
    threads: usize,
    /// The algorithm: `sha256d`, `scrypt`.
    #[arg(short, long, default_value = "sha256d")]
    algorithm: String,
    /// End after so many accepted shares.
    #[arg(long)]
    shares: Option<u64>,
    /// End after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Hashes a second and thread at most.
    #[arg(long)]
    limit: Option<f64>,
    /// Print one summary object at the end.
    #[arg(long)]
    json: bool,
}

impl Mine {
    /// Mines until it is told to end.
    pub fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let summary = runtime.block_on(self.mine())?;
        if self.json {
            say!("{}", serde_json::to_string(&summary)?);
        } else {
            say!(
                "{} accepted, {} refused, {} in {:.0} s",
                summary.accepted,
                summary.rejected,
                rate(summary.hashes_per_second),
                summary.seconds
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn mine(&self) -> Result<Summary, Failure> {
        let options = Options {
            password: self.password.clone(),
            threads: self.threads,
            algorithm: self.algorithm.clone(),
            shares: self.shares,
            hashes_per_second: self.limit,
            ..Options::new(&self.pool, &self.user)
        };
        let progress = Arc::new(Progress::default());
        let (stop, stopped) = watch::channel(false);
        let end = async {
            let time = self.seconds.map_or(Duration::MAX, Duration::from_secs);
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                () = tokio::time::sleep(time) => {}
            }
            stop.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            summary = mine(options, Arc::clone(&progress), stopped) => summary.map_err(|error| match error {
                MineError::Algorithm { .. } => Failure::usage(error.to_string()),
                error => error.into(),
            }),
            () = end => Err(Failure::new("the miner did not end")),
            () = report(&progress) => Err(Failure::new("the miner did not end")),
        }
    }
}

/// A line to standard error every ten seconds.
async fn report(progress: &Progress) {
    let (mut hashes, mut at) = (0, Instant::now());
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let now = progress.hashes();
        let speed = (now - hashes) as f64 / at.elapsed().as_secs_f64();
        tell!("{}, {} accepted, {} refused", rate(speed), progress.accepted(), progress.rejected());
        (hashes, at) = (now, Instant::now());
    }
}

/// A rate with a unit that people read.
fn rate(hashes_per_second: f64) -> String {
    let units = [("GH/s", 1e9), ("MH/s", 1e6), ("kH/s", 1e3)];
    let unit = units.iter().find(|(_, size)| hashes_per_second >= *size);
    let (name, size) = unit.copied().unwrap_or(("H/s", 1.0));
    format!("{:.2} {name}", hashes_per_second / size)
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates_are_shown_in_units() {
        assert_eq!(rate(12.0), "12.00 H/s");
        assert_eq!(rate(1_234_567.0), "1.23 MH/s");
        assert_eq!(rate(5e12), "5000.00 GH/s");
    }
}
