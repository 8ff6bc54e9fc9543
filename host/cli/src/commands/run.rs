//! `millpond run`: all pools of a configuration until told to stop.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_process::{Reloaded, Running, Upgraded, upgrade};
use millpond_runtime::Compiler;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Run all pools of a configuration until SIGTERM or SIGINT. SIGHUP reads the configuration again.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration.
    file: PathBuf,
    /// Take over from the process that started this one, over the link that is its standard input (`millpond upgrade`).
    #[arg(long, hide = true)]
    take_over: bool,
}

impl Run {
    /// Runs.
    pub fn run(self) -> Outcome {
        let config =
            millpond_config::load(&self.file).map_err(|errors| Failure::usage(errors.to_string()))?;
        let compiler = Compiler::this_executable()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            // Before anything else: who is told to stop while he starts stops in order too, when he has started.
            let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let mut hup = signal(SignalKind::hangup())?;
            let mut running = if self.take_over {
                let taken = upgrade::take_over(config, &self.file, compiler, tell_service_manager);
                taken.await.map_err(Failure::new)?
            } else {
                let running = Running::start(config, &self.file, compiler).await?;
                tell_service_manager();
                running
            };
            for pool in running.pools() {
                for address in pool.addresses() {
                    tell!("pool {} takes miners at {address}", pool.name());
                }
            }
            if let Some(address) = running.http() {
                tell!("the page is at http://{address}/");
            }
            loop {
                tokio::select! {
                    _ = term.recv() => break,
                    _ = int.recv() => break,
                    _ = hup.recv() => say(running.reload("SIGHUP").await),
                    order = running.ordered() => match running.upgrade(order).await {
                        Upgraded::Stayed(same) => {
                            running = *same;
                            // The other one may have said that it is the one to watch.
                            tell_service_manager();
                        }
                        Upgraded::Gone(process) => {
                            tell!("process {process} goes on with the miners");
                            return Ok(ExitCode::SUCCESS);
                        }
                        Upgraded::Lost(why) => return Err(Failure::new(why)),
                    },
                }
            }
            tell!("stopping: shares on their way are recorded and answered");
            running.stop().await;
            Ok(ExitCode::SUCCESS)
        });
        if outcome.is_err() {
            // What hangs is not waited for: the data folder is free for another start only when this process is gone.
            runtime.shutdown_background();
        }
        outcome
    }
}

/// Tells a service manager that this process is ready, and that it is the one to watch: it may have been started by another
/// one that the manager knows (systemd's `NotifyAccess=all`).
fn tell_service_manager() {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let words = format!("MAINPID={}\nREADY=1", std::process::id());
    let told = UnixDatagram::unbound().and_then(|from| match socket.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => from.send_to_addr(words.as_bytes(), &SocketAddr::from_abstract_name(name)?),
        None => from.send_to(words.as_bytes(), Path::new(&socket)),
    });
    if let Err(why) = told {
        tell!("the service manager was not told of this process: {why}");
    }
}

/// Says what a reload came to, on standard error.
fn say(reloaded: Result<Reloaded, String>) {
    match reloaded {
        Err(why) => tell!("the configuration was not reloaded, nothing has changed:\n{why}"),
        Ok(Reloaded { applied, plugins, failed, needs_restart }) => {
            let kinds = [
                ("applied", applied),
                ("plugin", plugins),
                ("FAILED", failed),
                ("needs a restart", needs_restart),
            ];
            if kinds.iter().all(|(_, lines)| lines.is_empty()) {
                tell!("the configuration was reloaded: it says what is in force already");
            }
            for (kind, lines) in kinds {
                lines.iter().for_each(|line| tell!("reload: {kind}: {line}"));
            }
        }
    }
}
