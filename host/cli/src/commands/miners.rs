//! `millpond miners`: who is connected, and words to them.

use crate::commands::admin::{Door, field};
use crate::terminal::Outcome;
use clap::{Args, Subcommand};
use millpond_admin::Command;
use serde_json::Value;
use std::process::ExitCode;

/// List the sessions of miners, show them a message, or send them elsewhere.
#[derive(Debug, Args)]
pub struct Miners {
    #[command(flatten)]
    door: Door,
    /// The pool.
    #[arg(long)]
    pool: String,
    /// JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The sessions, oldest first.
    List,
    /// Show a text on the screens of all miners whose dialect can (`client.show_message`).
    Message {
        /// Up to 200 characters, one line.
        text: String,
    },
    /// Ask all miners whose dialect can to connect elsewhere (`client.reconnect`), before a move to another machine.
    ///
    /// Where miners work is what they earn: this asks for a confirmation. Many miners follow only within the domain
    /// that they were given.
    Reconnect {
        /// A name or an address.
        host: String,
        /// The port there.
        port: u16,
        /// Seconds that they wait before.
        #[arg(long, default_value_t = 0)]
        wait: u64,
    },
}

impl Miners {
    /// Does it.
    pub fn run(self) -> Outcome {
        let pool = self.pool;
        let command = match self.what {
            What::List => Command::MinersList { pool },
            What::Message { text } => Command::MinersMessage { pool, text },
            What::Reconnect { host, port, wait } => Command::MinersReconnect { pool, host, port, wait },
        };
        if self.json {
            return self.door.send(&command);
        }
        let value = self.door.ask(&command)?;
        match value.as_array() {
            Some(sessions) => {
                say!(
                    "{:<40} {:<40} {:<16} {:>12} {:>9} {:>8}  AGENT",
                    "SOURCE",
                    "ADDRESS",
                    "WORKER",
                    "DIFFICULTY",
                    "ACCEPTED",
                    "REFUSED"
                );
                sessions.iter().for_each(show);
            }
            None => say!("said to {} connections", field(&value, "connections")),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(session: &Value) {
    let text = |key: &str| field(session, key);
    say!(
        "{:<40} {:<40} {:<16} {:>12} {:>9} {:>8}  {}",
        text("source"),
        text("address"),
        text("worker"),
        text("difficulty"),
        text("accepted"),
        text("refused"),
        text("agent")
    );
}
