//! `millpond check`: a configuration file as a whole, with everything it names.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_process::check::{Found, check};
use millpond_runtime::Compiler;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a configuration file: all errors at once, with their lines.
///
/// Plugins are loaded with their settings, their recipes and dialects compiled, certificates and keys held against each
/// other, secrets and cookies read. No node or wallet is asked: that is `millpond doctor`. Exit code 2 with any error; what is well-formed
/// and will not do what it seems to is a warning.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration.
    file: PathBuf,
    /// Look at the file alone: load no plugin, read no secret, no certificate.
    #[arg(long)]
    file_only: bool,
    /// One JSON object: whether it is good, the pools, and each error and warning with its line.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Checks and reports.
    pub fn run(self) -> Outcome {
        let file = self.file.display();
        let config = match millpond_config::load(&self.file) {
            Ok(config) => config,
            Err(errors) if self.json => {
                let wrong = |error: &millpond_config::ConfigError| {
                    json!({"line": error.line, "pool": "",
                    "text": format!("{}: {}", error.option, error.message).trim_start_matches(": ")})
                };
                let errors: Vec<_> = errors.errors.iter().map(wrong).collect();
                say!("{}", json!({"good": false, "pools": [], "errors": errors, "warnings": []}));
                return Ok(ExitCode::from(2));
            }
            Err(errors) => return Err(Failure::usage(errors.to_string())),
        };
        let compiler = if self.file_only { None } else { Some(Compiler::this_executable()?) };
        let Found { errors, warnings } = check(&config, &self.file, compiler)?;
        let names: Vec<_> = config.pool.iter().map(|pool| pool.name.to_string()).collect();
        if self.json {
            let good = errors.is_empty();
            say!("{}", json!({"good": good, "pools": names, "errors": errors, "warnings": warnings}));
            return Ok(ExitCode::from(if errors.is_empty() { 0 } else { 2 }));
        }
        for doubt in &warnings {
            tell!("warning: {file}:{doubt}");
        }
        if !errors.is_empty() {
            let lines: Vec<_> = errors.iter().map(|wrong| format!("{file}:{wrong}")).collect();
            return Err(Failure::usage(lines.join("\n")));
        }
        say!("{file}: good, {} pool(s): {}", names.len(), names.join(", "));
        Ok(ExitCode::SUCCESS)
    }
}
