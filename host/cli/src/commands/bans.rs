//! `millpond bans`: who may not connect, and the operator's word in it.

use crate::commands::admin::{Door, field};
use crate::terminal::Outcome;
use clap::{Args, Subcommand};
use millpond_admin::Command;
use std::net::IpAddr;
use std::process::ExitCode;

/// List, make and lift bans of addresses.
///
/// A ban is of an address, or of its network for IPv6. It ends by itself after `stratum.ban`, doubled for each earlier
/// one within memory; a restart forgets all. Making and lifting are recorded in the pool's hash chains.
#[derive(Debug, Args)]
pub struct Bans {
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
    /// The bans in force, longest first.
    List,
    /// Ban an address and hang up on it.
    Add {
        /// The address.
        address: IpAddr,
    },
    /// End a ban, and forget the address's past.
    Lift {
        /// The address.
        address: IpAddr,
    },
}

impl Bans {
    /// Does it.
    pub fn run(self) -> Outcome {
        let pool = self.pool;
        let command = match self.what {
            What::List => Command::BansList { pool },
            What::Add { address } => Command::BansAdd { pool, address },
            What::Lift { address } => Command::BansLift { pool, address },
        };
        if self.json {
            return self.door.send(&command);
        }
        let value = self.door.ask(&command)?;
        let ban = |ban: &serde_json::Value| {
            let text = |key: &str| field(ban, key);
            say!("{:<40} {:<15} {:>8} s", text("source"), text("reason"), text("remaining"));
        };
        match command {
            Command::BansList { .. } => value.as_array().into_iter().flatten().for_each(ban),
            Command::BansAdd { .. } => ban(&value),
            _ => say!("lifted"),
        }
        Ok(ExitCode::SUCCESS)
    }
}
