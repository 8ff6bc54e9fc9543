//! `millpond alarms`: what needs a person, and that a person has seen to it.

use crate::commands::admin::{Door, field};
use crate::terminal::Outcome;
use clap::{Args, Subcommand};
use millpond_admin::Command;
use serde_json::Value;
use std::process::ExitCode;

/// List alarms, or clear those that were seen to.
#[derive(Debug, Args)]
pub struct Alarms {
    #[command(flatten)]
    door: Door,
    /// JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The alarms kept, newest last.
    List,
    /// Forget the alarms about something; recorded in the pool's hash chains.
    Clear {
        /// As the alarm says: node, wallet, plugin, ...
        about: String,
        /// The pool; without it, of the process.
        #[arg(long, default_value = "")]
        pool: String,
    },
}

impl Alarms {
    /// Does it.
    pub fn run(self) -> Outcome {
        let command = match self.what {
            What::List => Command::AlarmsList {},
            What::Clear { about, pool } => Command::AlarmsClear { pool, about },
        };
        if self.json {
            return self.door.send(&command);
        }
        let value = self.door.ask(&command)?;
        match value.as_array() {
            Some(alarms) => alarms.iter().for_each(show),
            None => say!("cleared"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(alarm: &Value) {
    let text = |key: &str| field(alarm, key);
    let of = if text("pool").is_empty() { "process".to_owned() } else { text("pool") };
    say!("{:<9} {of:<12} {:<10} x{:<4} {}", text("level"), text("about"), text("times"), text("text"));
}
