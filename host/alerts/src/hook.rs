//! The ways to a person: a program, or a webhook.

use crate::Alarm;
use bytes::Bytes;
use millpond_node::{Auth, Endpoint, HttpClient, Limits};
use std::fmt;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// A hook has this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A way to tell somebody.
#[derive(Clone, Debug)]
pub enum Hook {
    /// A program that gets the alarm as one JSON object on its standard input.
    Exec {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// An `http://` address that gets it by POST.
    Webhook(Box<HttpClient>),
}

impl Hook {
    /// A program.
    #[must_use]
    pub fn exec(program: &str, arguments: &[&str]) -> Self {
        Self::Exec {
            program: program.to_owned(),
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
        }
    }

    /// An address.
    ///
    /// # Errors
    /// When it is no `http://` address.
    pub fn webhook(url: &str) -> Result<Self, String> {
        let limits = Limits { body: 64 * 1024, connect: Duration::from_secs(5) };
        let endpoint = Endpoint { url: url.to_owned(), auth: Auth::None };
        HttpClient::new(endpoint, limits)
            .map(|client| Self::Webhook(Box::new(client)))
            .map_err(|why| why.to_string())
    }

    /// Tells it, within a time.
    ///
    /// # Errors
    /// A sentence: what did not work.
    pub async fn tell(&self, alarm: &Alarm) -> Result<(), String> {
        let json = serde_json::to_vec(alarm).map_err(|why| why.to_string())?;
        match self {
            Self::Exec { program, arguments } => run(program, arguments, json).await,
            Self::Webhook(client) => {
                let reply =
                    client.post("", Bytes::from(json), PATIENCE).await.map_err(|why| why.to_string())?;
                match reply.status {
                    200..=299 => Ok(()),
                    status => Err(format!("it answered with HTTP status {status}")),
                }
            }
        }
    }
}

async fn run(program: &str, arguments: &[String], json: Vec<u8>) -> Result<(), String> {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|why| format!("it cannot be started: {why}"))?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input is no error.
            let _ = stdin.write_all(&json).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Err(_) => Err(format!("it took longer than {} s and was ended", PATIENCE.as_secs())),
        Ok(Err(why)) => Err(why.to_string()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("it ended with {status}")),
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec { program, .. } => f.write_str(program),
            Self::Webhook(client) => f.write_str(client.at()),
        }
    }
}
