//! `millpond load`: a load generator for Stratum V1 servers, ours or others', and the mock node that feeds them.

use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand};
use millpond_load::node::{MockNode, OtherBlocks, Shape};
use millpond_load::{Din, Echo, Fleet, Mischief, Noise, Options, Volley};
use serde::Serialize;
use std::fmt::Display;
use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// Put load on a Stratum V1 server, ours or another, and measure it; or be the Bitcoin node that it asks.
#[derive(Debug, Args)]
pub struct Load {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Connect, subscribe and log in as fast as possible; what a connection costs.
    Connect(Connect),
    /// Send shares at a steady or the highest rate, on the accept path or the reject path.
    Shares(Shares),
    /// Make blocks on a mock node, and measure when each miner has the new job.
    Jobs(Jobs),
    /// Be a Bitcoin node with a template of any size that no share solves.
    Node(Node),
    /// Be a bare echo loop: the floor of what a server on this machine can cost.
    Echo(EchoLoop),
}

/// The miners of a test.
#[derive(Debug, Args)]
struct Miners {
    /// The server: `host:port`.
    server: String,
    /// How many connections.
    #[arg(short, long, default_value_t = 100)]
    connections: usize,
    /// Addresses of this machine that they come from, in turn: `127.0.0.2,127.0.0.3` or `127.0.0.2-127.0.0.9`.
    #[arg(long, value_parser = addresses, default_value = "")]
    from: Addresses,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Handshakes under way at once.
    #[arg(long, default_value_t = 128)]
    at_once: usize,
    /// Seconds that a handshake may take.
    #[arg(long, default_value_t = 30.0)]
    patience: f64,
    /// The login; `{}` stands for the connection's number.
    #[arg(short, long, default_value = millpond_load::LOGIN)]
    user: String,
    /// So many addresses of regtest in turn, instead of one login's.
    #[arg(long, conflicts_with = "user")]
    addresses: Option<u32>,
    /// The password.
    #[arg(short, long, default_value = "x")]
    password: String,
    /// The user agent.
    #[arg(long, default_value = concat!("millpond-load/", env!("CARGO_PKG_VERSION")))]
    agent: String,
    /// Speak TLS; every certificate is taken.
    #[arg(long)]
    tls: bool,
    /// Clients that misbehave beside the honest ones, so many of a kind: `slow-writer=5,garbage=3`. Kinds: slow-writer,
    /// slow-reader, garbage, giant-line, silent, duplicates, unknown-jobs.
    #[arg(long, value_parser = clients, value_delimiter = ',')]
    noise: Vec<(Mischief, usize)>,
    /// Addresses that those come from; without them as `--from`.
    #[arg(long, value_parser = addresses)]
    noise_from: Option<Addresses>,
    /// The server's process on this machine: its CPU time and memory are measured.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Connect {
    #[command(flatten)]
    miners: Miners,
    /// Seconds to hold the connections before the server's memory is looked at.
    #[arg(long, default_value_t = 2.0)]
    hold: f64,
    /// Drop all and come back, so many times.
    #[arg(long, default_value_t = 0)]
    again: usize,
}

#[derive(Debug, Args)]
struct Shares {
    #[command(flatten)]
    miners: Miners,
    /// Send shares that miss their target: the server has to compute the whole header before it can refuse.
    #[arg(long)]
    reject: bool,
    /// Shares a second of all connections together; without it as many as are answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Without a rate: shares of one write, whose answers are awaited before the next.
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 1.0)]
    warm: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Send so many shares of each connection and end; `--seconds` is the longest that it may take.
    #[arg(long)]
    each: Option<u64>,
}

#[derive(Debug, Args)]
struct Jobs {
    #[command(flatten)]
    miners: Miners,
    /// The mock node that the server asks: `http://host:port` of a `millpond load node`.
    #[arg(long)]
    node: String,
    /// How many blocks.
    #[arg(long, default_value_t = 10)]
    blocks: usize,
    /// Seconds between them.
    #[arg(long, default_value_t = 2.0)]
    pause: f64,
}

#[derive(Debug, Args)]
struct Node {
    /// Where to listen.
    #[arg(long, default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))]
    listen: SocketAddr,
    /// Transactions of a template.
    #[arg(long, default_value_t = Shape::default().transactions)]
    transactions: u32,
    /// Bytes of all its transactions together.
    #[arg(long, default_value_t = Shape::default().bytes)]
    bytes: u32,
    /// The network target in compact form, hex. The default is one that no share meets.
    #[arg(long, value_parser = bits, default_value = "1700ffff")]
    bits: u32,
    /// What it calls its chain.
    #[arg(long, default_value = "regtest")]
    chain: String,
    /// The height of its first block.
    #[arg(long, default_value_t = Shape::default().height)]
    height: u32,
    /// A new block every so many seconds. Without it on each line of standard input, or when `load jobs` asks.
    #[arg(long)]
    every: Option<f64>,
}

#[derive(Debug, Args)]
struct EchoLoop {
    /// Where to listen.
    #[arg(long, default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))]
    listen: SocketAddr,
}

#[derive(Clone, Debug)]
struct Addresses(Vec<IpAddr>);

/// A list of addresses and ranges of them.
fn addresses(text: &str) -> Result<Addresses, String> {
    let mut all = Vec::new();
    let one = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| format!("{text:?} is no address"));
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('-') {
            None => all.push(one(part)?),
            Some((first, last)) => match (one(first)?, one(last)?) {
                (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                    all.extend(
                        (first.to_bits()..=last.to_bits()).take(65_536).map(|bits| IpAddr::V4(bits.into())),
                    );
                }
                _ => return Err(format!("{part:?} is no range of IPv4 addresses")),
            },
        }
    }
    Ok(Addresses(all))
}

/// So many misbehaving clients of a kind.
fn clients(text: &str) -> Result<(Mischief, usize), String> {
    let (kind, count) = text.split_once('=').unwrap_or((text, "1"));
    let count = count.parse().map_err(|_| format!("{count:?} is no number of clients"))?;
    Ok((kind.parse()?, count))
}

fn bits(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|_| format!("{text:?} is not hex"))
}

fn seconds(value: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(value).map_err(|_| Failure::usage(format!("{value} is no time in seconds")))
}

impl Load {
    /// Runs.
    pub fn run(self) -> Outcome {
        match self.what {
            What::Connect(command) => command.run(),
            What::Shares(command) => command.run(),
            What::Jobs(command) => command.run(),
            What::Node(command) => command.run(),
            What::Echo(EchoLoop { listen }) => {
                let echo = Echo::bind(listen)?;
                say!("echoes at {}", echo.address());
                echo.run()?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Miners {
    fn fleet(&self) -> Result<Fleet, Failure> {
        Ok(Fleet::start(Options {
            server: self.server.clone(),
            connections: self.connections,
            from: self.from.0.clone(),
            threads: self.threads,
            at_once: self.at_once,
            patience: seconds(self.patience)?,
            users: self.addresses.map_or_else(|| vec![self.user.clone()], millpond_load::logins),
            password: self.password.clone(),
            agent: self.agent.clone(),
            tls: self.tls,
            server_pid: self.server_pid,
        })?)
    }

    /// Those that misbehave meanwhile.
    fn noise(&self) -> Result<Option<Noise>, Failure> {
        if self.noise.is_empty() {
            return Ok(None);
        }
        let from = &self.noise_from.as_ref().unwrap_or(&self.from).0;
        Ok(Some(Noise::start(&self.server, from, &self.user, &self.noise)?))
    }

    /// Prints what came out.
    fn print(&self, parts: &[(&str, &dyn Shown)], noise: Option<Noise>) -> Outcome {
        let din: Option<Din> = noise.map(Noise::stop).transpose()?;
        let mut parts = parts.to_vec();
        parts.extend(din.as_ref().map(|din| ("noise", din as &dyn Shown)));
        if self.json {
            let mut object = serde_json::Map::new();
            for (name, part) in parts {
                object.insert((*name).to_owned(), part.value()?);
            }
            say!("{}", serde_json::Value::Object(object));
        } else {
            parts.iter().for_each(|(_, part)| put!("{part}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A result, as a table and as JSON.
trait Shown: Display {
    fn value(&self) -> serde_json::Result<serde_json::Value>;
}

impl<T: Display + Serialize> Shown for T {
    fn value(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self)
    }
}

impl Connect {
    fn run(self) -> Outcome {
        let noise = self.miners.noise()?;
        let mut fleet = self.miners.fleet()?;
        let first = fleet.connect(seconds(self.hold)?)?;
        let mut parts: Vec<(String, millpond_load::Storm)> = vec![("connect".to_owned(), first)];
        for number in 1..=self.again {
            fleet.close()?;
            parts.push((format!("again_{number}"), fleet.connect(Duration::ZERO)?));
        }
        let parts: Vec<(&str, &dyn Shown)> =
            parts.iter().map(|(name, storm)| (name.as_str(), storm as &dyn Shown)).collect();
        self.miners.print(&parts, noise)
    }
}

impl Shares {
    fn run(self) -> Outcome {
        let volley = Volley {
            accept: !self.reject,
            rate: self.rate,
            pipeline: self.pipeline,
            warm: seconds(self.warm)?,
            time: seconds(self.seconds)?,
            each: self.each,
            patience: Duration::from_secs(10),
        };
        let noise = self.miners.noise()?;
        let mut fleet = self.miners.fleet()?;
        let connect = fleet.connect(Duration::ZERO)?;
        let shares = fleet.fire(&volley)?;
        self.miners.print(&[("connect", &connect), ("shares", &shares)], noise)
    }
}

impl Jobs {
    fn run(self) -> Outcome {
        let (pause, patience) = (seconds(self.pause)?, seconds(self.miners.patience)?);
        let mut node = OtherBlocks::at(&self.node)?;
        let noise = self.miners.noise()?;
        let mut fleet = self.miners.fleet()?;
        let connect = fleet.connect(Duration::from_secs(1))?;
        let jobs = fleet.blocks(self.blocks, pause, patience, &mut node)?;
        self.miners.print(&[("connect", &connect), ("jobs", &jobs)], noise)
    }
}

impl Node {
    fn run(self) -> Outcome {
        let every = self.every.map(seconds).transpose()?;
        let shape = Shape {
            transactions: self.transactions,
            bytes: self.bytes,
            bits: self.bits,
            chain: self.chain,
            height: self.height,
        };
        let node = MockNode::start(self.listen, shape)?;
        let bytes = node.template_bytes();
        say!("the mock node answers at {}, any user and password; a template is {bytes} bytes", node.url());
        let block = || say!("block {}", node.new_block().0);
        match every {
            Some(every) => loop {
                std::thread::sleep(every);
                block();
            },
            None => {
                for line in std::io::stdin().lock().lines() {
                    line?;
                    block();
                }
                // Without a standard input it goes on until it is ended.
                loop {
                    std::thread::park();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{addresses, bits};

    #[test]
    fn source_addresses_are_listed_or_a_range() {
        let shown =
            |text: &str| addresses(text).map(|all| all.0.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(shown("").unwrap(), Vec::<String>::new());
        assert_eq!(shown("127.0.0.2,::1").unwrap(), ["127.0.0.2", "::1"]);
        assert_eq!(shown("127.0.0.254-127.0.1.1").unwrap().len(), 4);
        assert!(shown("127.0.0.9-127.0.0.2").is_err() && shown("pool").is_err());
    }

    #[test]
    fn bits_are_hex() {
        assert_eq!(bits("0x207fffff"), Ok(0x207f_ffff));
        assert!(bits("zz").is_err());
    }
}
