//! `millpond check`: a configuration file as a whole, with the plugins it names.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_pool::{setup, sockets};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Check a configuration file: all errors at once, with their lines.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration.
    file: PathBuf,
    /// Look at the file alone: load no plugin, read no secret.
    #[arg(long)]
    file_only: bool,
}

impl Check {
    /// Checks and reports.
    pub fn run(self) -> Outcome {
        let config =
            millpond_config::load(&self.file).map_err(|errors| Failure::usage(errors.to_string()))?;
        let names: Vec<_> = config.pool.iter().map(|pool| pool.name.to_string()).collect();
        if !self.file_only {
            let beside = self.file.parent().unwrap_or(Path::new(""));
            let sandbox = Sandbox::new(None, Compiler::this_executable()?)?;
            let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
            let mut errors = Vec::new();
            for section in config.pool {
                let name = section.name.to_string();
                let mut say = |why: setup::SetupError| {
                    errors.extend(
                        why.0.into_iter().map(|line| format!("{}: pool {name}: {line}", self.file.display())),
                    );
                };
                if let Err(why) = sockets::stratum(&section) {
                    say(why);
                }
                if let Err(why) = setup::prepare(section, beside, &sandbox, &sink) {
                    say(why);
                }
            }
            if !errors.is_empty() {
                return Err(Failure::usage(errors.join("\n")));
            }
        }
        println!("{}: good, {} pool(s): {}", self.file.display(), names.len(), names.join(", "));
        Ok(ExitCode::SUCCESS)
    }
}
