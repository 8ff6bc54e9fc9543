//! `millpond token`: tokens for administration over HTTP.

use crate::commands::note::{note, unless_noted};
use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand};
use millpond_admin::{Scope, Tokens};
use millpond_disk::RealDisk;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Make, list and revoke tokens for administration over HTTP.
///
/// A running millpond reads them with each command it is given: a new token counts, and a revoked one ends, at once.
/// Each making and revoking is recorded in the hash chain of every pool of the data folder.
#[derive(Debug, Args)]
pub struct TokenCommand {
    #[command(subcommand)]
    what: What,
    /// The data folder.
    #[arg(long, global = true, default_value = "millpond-data")]
    data: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token and print it, once: only its hash is kept.
    Make {
        /// Whose it is; the actor's name in the record of what was done with it.
        name: String,
        /// read, operate or money; a wider one has the narrower ones.
        scope: String,
    },
    /// List names and scopes.
    List {
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token.
    Revoke {
        /// Its name.
        name: String,
    },
}

impl TokenCommand {
    /// Does it.
    pub fn run(self) -> Outcome {
        if !self.data.is_dir() {
            return Err(Failure::usage(format!(
                "{} is no data folder; name it by --data",
                self.data.display()
            )));
        }
        let mut tokens = Tokens::open(Arc::new(RealDisk), &self.data.join("tokens.json"))?;
        match self.what {
            What::Make { name, scope } => {
                let scope = Scope::named(&scope).ok_or_else(|| {
                    Failure::usage(format!("a scope is read, operate or money, not {scope:?}"))
                })?;
                let usual = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
                if name.is_empty() || name.len() > 64 || !name.chars().all(usual) {
                    return Err(Failure::usage("a token's name is 1 to 64 letters, digits, and - _ . @"));
                }
                if tokens.all().iter().any(|token| token.name == name) {
                    return Err(millpond_admin::TokensError::Taken(name).into());
                }
                note(&self.data, "token_make", &[&name, scope.name()])?;
                say!("{}", tokens.make(&name, scope)?);
            }
            What::List { json } => {
                let all = tokens.all().iter().map(|token| (token.name.as_str(), token.scope.name()));
                if json {
                    let all: Vec<_> =
                        all.map(|(name, scope)| serde_json::json!({"name": name, "scope": scope})).collect();
                    say!("{}", serde_json::Value::Array(all));
                } else {
                    all.for_each(|(name, scope)| say!("{name} {scope}"));
                }
            }
            What::Revoke { name } => {
                // Before it is recorded: a token that is feared ends whatever the disk of the pools says, and however late.
                if !tokens.revoke(&name)? {
                    return Err(Failure::new(format!("there is no token named {name:?}")));
                }
                unless_noted(note(&self.data, "token_revoke", &[&name]));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
