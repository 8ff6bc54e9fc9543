//! `millpond shadow`: policies that divide beside the one in force, and one of them put into force.

use crate::commands::admin::Door;
use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand};
use millpond_admin::Command;
use serde_json::Value;
use std::process::ExitCode;

/// Show the policies in shadow, or put one into force.
///
/// What a shadow came to is never taken over: promoted, it begins at a block's boundary and from the recorded shares, as any
/// scheme does. Until then the pool shows its miners what comes and when, for at least `payout.notice`;
/// `millpond plugin swap --cancel` withdraws it.
#[derive(Debug, Args)]
pub struct Shadow {
    #[command(flatten)]
    door: Door,
    /// The pool.
    #[arg(long)]
    pool: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The policies in shadow, what each would have paid, and what is announced, as JSON.
    List,
    /// Put what a shadow divides by into force, with notice.
    Promote {
        /// Its name.
        name: String,
        /// Behind no block that was found before: milliseconds since 1970, as the API has times. Without it from the end of
        /// the configured notice on, before which none is taken.
        #[arg(long, value_name = "MS")]
        not_before: Option<u64>,
        /// Why, in words that the pool shows its miners.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

impl Shadow {
    /// Does it.
    pub fn run(self) -> Outcome {
        let Self { door, pool, what } = self;
        match what {
            What::Promote { name, not_before, reason } => {
                door.send(&Command::ShadowPromote { pool, name, not_before, reason })
            }
            What::List => {
                let status = door.ask(&Command::Status {})?;
                let pools = status.get("pools").and_then(Value::as_array);
                let found = pools.and_then(|pools| {
                    pools.iter().find(|one| one.get("name") == Some(&pool.as_str().into()))
                });
                let found = found.ok_or_else(|| Failure::new(format!("there is no pool {pool}")))?;
                let of = |key: &str| found.get(key).cloned().unwrap_or_default();
                let shown = serde_json::json!({"shadows": of("shadows"), "policy": of("policy")});
                say!("{}", serde_json::to_string_pretty(&shown)?);
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
