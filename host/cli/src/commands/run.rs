//! `millpond run`: all pools of a configuration until told to stop.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_process::Running;
use millpond_runtime::Compiler;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Run all pools of a configuration until SIGTERM or SIGINT.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration.
    file: PathBuf,
}

impl Run {
    /// Runs.
    pub fn run(self) -> Outcome {
        let config =
            millpond_config::load(&self.file).map_err(|errors| Failure::usage(errors.to_string()))?;
        let beside = self.file.parent().unwrap_or(Path::new("")).to_owned();
        let compiler = Compiler::this_executable()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let running = Running::start(config, &beside, compiler).await?;
            for pool in running.pools() {
                for address in pool.addresses() {
                    eprintln!("pool {} takes miners at {address}", pool.name());
                }
            }
            if let Some(address) = running.http() {
                eprintln!("the page is at http://{address}/");
            }
            let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            eprintln!("stopping: shares on their way are recorded and answered");
            running.stop().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}
