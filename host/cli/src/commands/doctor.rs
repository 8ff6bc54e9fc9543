//! `millpond doctor`: whether this machine, the nodes and the wallet are fit for a configuration.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_pool::doctor::{Finding, Health};
use millpond_process::doctor::{examine, fit};
use millpond_runtime::Compiler;
use serde_json::json;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Look at everything that a configuration needs: nodes, wallet, plugins, folders, ports, and the machine's limits.
///
/// Changes nothing and sends nothing; may be run beside the pool. Exit code 1 when something would keep a pool from
/// working, 2 when the file is wrong.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration.
    file: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    /// Seconds that each node has to give work.
    #[arg(long, default_value_t = 20)]
    patience: u64,
}

impl Doctor {
    /// Looks and reports.
    pub fn run(self) -> Outcome {
        let config =
            millpond_config::load(&self.file).map_err(|errors| Failure::usage(errors.to_string()))?;
        let patience = Duration::from_secs(self.patience.clamp(1, 3600));
        let findings = examine(&config, &self.file, Compiler::this_executable()?, patience)?;
        let fit = fit(&findings);
        if self.json {
            say!("{}", json!({"fit": fit, "findings": findings}));
        } else {
            let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::io::stdout().is_terminal();
            findings.iter().for_each(|finding| show(finding, colours));
            let count = |health| findings.iter().filter(|finding| finding.health == health).count();
            let (bad, warnings) = (count(Health::Bad), count(Health::Warning));
            say!("{} looked at, {warnings} to look after, {bad} to mend", findings.len());
        }
        Ok(ExitCode::from(u8::from(!fit)))
    }
}

fn show(finding: &Finding, colours: bool) {
    let (word, colour) = match finding.health {
        Health::Good => ("good", "32"),
        Health::Warning => ("WARN", "33"),
        Health::Bad => ("BAD ", "31"),
    };
    let word = if colours { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() };
    let of = if finding.pool.is_empty() { "machine" } else { finding.pool.as_str() };
    say!("{word}  {of:<12} {:<11} {}", finding.about, finding.text);
    if !finding.remedy.is_empty() {
        say!("{:32}-> {}", "", finding.remedy);
    }
}
