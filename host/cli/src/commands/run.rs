//! `millpond run`: all pools of a configuration until told to stop.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_process::{Reloaded, Running};
use millpond_runtime::Compiler;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Run all pools of a configuration until SIGTERM or SIGINT. SIGHUP reads the configuration again.
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
        let compiler = Compiler::this_executable()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            // Before anything else: who is told to stop while he starts stops in order too, when he has started.
            let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let mut hup = signal(SignalKind::hangup())?;
            let running = Running::start(config, &self.file, compiler).await?;
            for pool in running.pools() {
                for address in pool.addresses() {
                    eprintln!("pool {} takes miners at {address}", pool.name());
                }
            }
            if let Some(address) = running.http() {
                eprintln!("the page is at http://{address}/");
            }
            loop {
                tokio::select! {
                    _ = term.recv() => break,
                    _ = int.recv() => break,
                    _ = hup.recv() => say(running.reload("SIGHUP").await),
                }
            }
            eprintln!("stopping: shares on their way are recorded and answered");
            running.stop().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Says what a reload came to, on standard error.
fn say(reloaded: Result<Reloaded, String>) {
    match reloaded {
        Err(why) => eprintln!("the configuration was not reloaded, nothing has changed:\n{why}"),
        Ok(Reloaded { applied, plugins, failed, needs_restart }) => {
            let kinds = [
                ("applied", applied),
                ("plugin", plugins),
                ("FAILED", failed),
                ("needs a restart", needs_restart),
            ];
            if kinds.iter().all(|(_, lines)| lines.is_empty()) {
                eprintln!("the configuration was reloaded: it says what is in force already");
            }
            for (kind, lines) in kinds {
                lines.iter().for_each(|line| eprintln!("reload: {kind}: {line}"));
            }
        }
    }
}
