//! `millpond plugin run ADAPTER --node URL`: the command line of `millpond_conformance::adapter::live`.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_conformance::adapter::live::{self, run};
use millpond_contracts::Settings;
use millpond_contracts::chain::{ChainAdapter, Output};
use millpond_node::{Address, Auth, Endpoint, NodeSpec, Secret, Transport};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// An adapter at real nodes.
#[derive(Debug, Args)]
pub struct Live {
    /// Adapters: a node, `http://host:port` or, for one transport of several, `NAME=http://host:port` or
    /// `NAME=tcp://host:port`. Several nodes by several options; the transports of one node joined by commas.
    #[arg(long)]
    node: Vec<String>,
    /// User of the nodes' basic authentication; bcoin and hsd take `x`.
    #[arg(long, requires = "node")]
    user: Option<String>,
    /// Environment variable that holds the nodes' password.
    #[arg(long, value_name = "VARIABLE", requires = "user")]
    password_env: Option<String>,
    /// Keep every event and what the adapter did, for --replay and `plugin test --recording`.
    #[arg(long, requires = "node")]
    record: Option<PathBuf>,
    /// Who is paid by the coinbase: the payee's bytes in hex (Bitcoin: the output script).
    #[arg(long, value_name = "HEX", requires = "node")]
    payee: Option<String>,
    /// Mine on every job on this processor, so that blocks are found on a chain that is easy enough.
    #[arg(long, requires = "node")]
    mine: bool,
    /// End after so many blocks found and submitted.
    #[arg(long, requires = "mine")]
    blocks: Option<u64>,
    /// End after so many seconds.
    #[arg(long, requires = "node", default_value_t = 60)]
    seconds: u64,
}

impl Live {
    /// That there is something to run at.
    ///
    /// # Errors
    /// What the command line lacks.
    pub fn needs(&self) -> Result<(), Failure> {
        if self.node.is_empty() {
            return Err(Failure::usage(
                "an adapter needs --node URL or --replay FILE, a scheme --shares FILE; policies have nothing to run",
            ));
        }
        Ok(())
    }

    /// Runs the adapter until the time is over or enough blocks were found.
    pub fn run(self, adapter: Arc<dyn ChainAdapter>, settings: &Settings) -> Outcome {
        let outputs = match &self.payee {
            Some(hex) => vec![Output { payee: bytes_of(hex)?, weight: 1 }],
            None => Vec::new(),
        };
        let record = match &self.record {
            None => None,
            Some(path) => Some(
                std::fs::File::create(path)
                    .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?,
            ),
        };
        let live = live::Live {
            nodes: self.specs(&live::transports(adapter.as_ref()))?,
            outputs,
            record,
            mine: self.mine,
            blocks: self.blocks,
            time: Duration::from_secs(self.seconds),
        };
        let summary = run(adapter, settings, live, Arc::new(|line| say!("{line}")))?;
        say!(
            "{} jobs, {} blocks submitted, {} events refused",
            summary.jobs,
            summary.blocks,
            summary.refused
        );
        if let Some(error) = &summary.first_error {
            say!("the first error: {error}");
        }
        Ok(if summary.jobs > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn specs(&self, transports: &[Transport]) -> Result<Vec<NodeSpec>, Failure> {
        let password = match &self.password_env {
            Some(variable) => Some(Secret::from_env(variable)?),
            None => None,
        };
        let auth = match (&self.user, password) {
            (Some(user), Some(password)) => Auth::Basic { user: user.clone(), password },
            (Some(_), None) => return Err(Failure::usage("--user needs --password-env VARIABLE")),
            _ => Auth::None,
        };
        let first = transports.first().map(|transport| transport.name.clone()).unwrap_or_default();
        let address = |part: &str| {
            let (name, url) = match part.split_once('=') {
                Some((name, url)) => (name.to_owned(), url),
                None => (first.clone(), part),
            };
            let address = match url.strip_prefix("tcp://") {
                Some(_) => Address::Zmq(url.to_owned()),
                None => Address::Http(Endpoint { url: url.to_owned(), auth: auth.clone() }),
            };
            (name, address)
        };
        let spec = |(at, node): (usize, &String)| NodeSpec {
            name: format!("node {at}"),
            addresses: node.split(',').map(address).collect(),
        };
        Ok(self.node.iter().enumerate().map(spec).collect())
    }
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
    let bytes = digits.chunks(2).map(|pair| if pair.len() == 2 { byte(pair) } else { None }).collect();
    Option::<Vec<u8>>::ok_or(bytes, Failure::usage(format!("--payee {hex}: it is not hex")))
}
