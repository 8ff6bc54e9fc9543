//! The tables of the share path: a pool as a child process on a real file system, over the mock node, and a bare echo
//! loop beside it, each measured from outside by its own CPU time.

mod child;
mod machine;
mod page;

pub use machine::Machine;
pub use page::page;

use crate::fleet::{Fleet, LoadError, Options, Volley};
use crate::node::{MockNode, OtherBlocks, OwnBlocks, Shape};
use crate::process::raise_descriptors;
use crate::report::{Held, Jobs, Shares, Storm};
use child::{Child, Settings};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What is measured when nothing else is given.
const OWN: &str = "millpond run";
/// Descriptors that are left to the server's own files.
const SPARE: u64 = 500;
/// Connections from one address at most: each has a port of its own.
const SOURCES: u8 = 16;
/// Answers that are due at the end are waited for so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Shares a CPU second on both paths, beside the echo loop.
    Paths,
    /// CPU and latency at a steady rate, by commit interval.
    Curve,
    /// Memory of a connection, plain and TLS.
    Memory,
    /// Logins a CPU second.
    Logins,
    /// From a template to the last miner.
    Jobs,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Paths, Self::Curve, Self::Memory, Self::Logins, Self::Jobs];

    /// As it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Paths => "paths",
            Self::Curve => "curve",
            Self::Memory => "memory",
            Self::Logins => "logins",
            Self::Jobs => "jobs",
        }
    }
}

/// What is to be measured, and how long.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The `millpond` program.
    pub program: PathBuf,
    /// A folder on a real file system, in which others are made and removed.
    pub folder: PathBuf,
    /// Small numbers and short times: to see that it works, not to quote.
    pub quick: bool,
    /// Which tables.
    pub tables: Vec<Table>,
    /// How long the miners of the memory table mine before it is looked at.
    pub mining: Duration,
    /// Another server instead.
    pub against: Option<Other>,
}

/// A server that listens already, instead of a pool of the bench's own: what can be asked of any server is measured.
#[derive(Clone, Debug)]
pub struct Other {
    /// `host:port`.
    pub address: String,
    /// Its process on this machine; without it there are no CPU times and no memory.
    pub pid: Option<u32>,
    /// The mock node that it asks, `http://host:port`; without it no blocks are made.
    pub node: Option<String>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// "millpond run", or the other server's address.
    pub server: String,
    /// The machine.
    pub machine: Machine,
    /// Whether the numbers were small: then they are not to be quoted.
    pub quick: bool,
    /// Both paths, at 1 and 16 shares of a write, and the echo loop's.
    pub paths: Vec<Way>,
    /// By commit interval.
    pub curve: Vec<Point>,
    /// Memory, plain and TLS.
    pub memory: Vec<Room>,
    /// Storms of logins.
    pub logins: Vec<Storm>,
    /// New blocks.
    pub jobs: Vec<Jobs>,
}

/// One way of sending shares.
#[derive(Debug, Serialize)]
pub struct Way {
    /// "echo", "millpond" or "other".
    pub server: &'static str,
    /// What came.
    pub shares: Shares,
}

/// A point of the curve.
#[derive(Debug, Serialize)]
pub struct Point {
    /// The commit interval in milliseconds.
    pub interval_ms: f64,
    /// What came.
    pub shares: Shares,
}

/// Memory of connections of one kind.
#[derive(Debug, Serialize)]
pub struct Room {
    /// "plain" or "tls".
    pub kind: &'static str,
    /// Connections.
    pub connections: u64,
    /// Shares that they sent before it was looked at.
    pub shares: u64,
    /// How long they mined, in seconds.
    pub seconds: f64,
    /// What the server held.
    pub held: Held,
}

/// What depends on `quick`.
struct Size {
    miners: usize,
    time: Duration,
    intervals: &'static [u64],
    rate: f64,
    storm: usize,
    told: &'static [usize],
    blocks: usize,
    shape: Shape,
}

impl Bench {
    fn size(&self) -> Size {
        if self.quick {
            let shape = Shape { transactions: 300, bytes: 100_000, ..Shape::default() };
            return Size {
                miners: 10,
                time: Duration::from_millis(500),
                intervals: &[0, 1_000],
                rate: 200.0,
                storm: 50,
                told: &[30],
                blocks: 2,
                shape,
            };
        }
        Size {
            miners: 50,
            time: Duration::from_secs(10),
            intervals: &[0, 250, 500, 1_000, 2_000, 5_000],
            rate: 5_000.0,
            storm: 10_000,
            told: &[5_000, 10_000],
            blocks: 10,
            shape: Shape::default(),
        }
    }

    /// Measures. What it does is told line by line.
    ///
    /// # Errors
    /// A folder in memory, a server that does not start or cannot be measured.
    pub fn run(&self, tell: &mut dyn FnMut(&str)) -> Result<Figures, LoadError> {
        let machine = Machine::look(&self.folder)?;
        let size = self.size();
        let mut figures = Figures {
            server: self.against.as_ref().map_or(OWN, |other| &other.address).to_owned(),
            machine,
            quick: self.quick,
            paths: Vec::new(),
            curve: Vec::new(),
            memory: Vec::new(),
            logins: Vec::new(),
            jobs: Vec::new(),
        };
        if let Some(other) = &self.against {
            self.measure(other, &size, &mut figures, tell)?;
            return Ok(figures);
        }
        let node = MockNode::start(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), size.shape.clone())?;
        let wants = |table| self.tables.contains(&table);
        if wants(Table::Paths) {
            tell("shares a CPU second");
            figures.paths = self.paths(&size, &node)?;
        }
        if wants(Table::Curve) {
            for interval in size.intervals {
                tell(&format!("a steady rate with a commit interval of {interval} us"));
                figures.curve.push(self.point(&size, &node, *interval)?);
            }
        }
        if wants(Table::Memory) {
            for kind in ["plain", "tls"] {
                tell(&format!("memory of {kind} connections"));
                figures.memory.push(self.room(&size, &node, kind)?);
            }
        }
        if wants(Table::Logins) {
            tell("storms of logins");
            figures.logins = self.logins(&size, &node)?;
        }
        if wants(Table::Jobs) {
            for miners in size.told {
                tell(&format!("new blocks to {miners} miners"));
                figures.jobs.push(self.jobs(&size, &node, *miners)?);
            }
        }
        Ok(figures)
    }

    /// What can be asked of any server. Memory comes first: a server holds on to what it once needed.
    fn measure(
        &self,
        other: &Other,
        size: &Size,
        figures: &mut Figures,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), LoadError> {
        let wants = |table| self.tables.contains(&table);
        if wants(Table::Memory) || wants(Table::Logins) {
            tell("storms of logins, and memory");
            let mut fleet = Fleet::start(options(&other.address, size.storm, other.pid))?;
            for number in 0..3 {
                if number > 0 {
                    fleet.close()?;
                }
                let storm = fleet.connect(size.time / 5)?;
                if number == 0
                    && let Some(held) = storm.memory
                {
                    let (connections, shares, seconds) = (storm.ready, 0, 0.0);
                    figures.memory.push(Room { kind: "plain", connections, shares, seconds, held });
                }
                figures.logins.push(storm);
            }
        }
        if wants(Table::Paths) {
            tell("refused shares a CPU second");
            let echo = Child::echo(&self.program)?;
            let ways =
                [("echo", &echo.accept, Some(echo.pid()), true), ("other", &other.address, other.pid, false)];
            figures.paths = Self::ways(size, &ways)?;
        }
        if wants(Table::Jobs)
            && let Some(url) = &other.node
        {
            for miners in size.told {
                tell(&format!("new blocks to {miners} miners"));
                let mut fleet = Fleet::start(options(&other.address, *miners, other.pid))?;
                fleet.connect(Duration::ZERO)?;
                let mut node = OtherBlocks::at(url)?;
                figures.jobs.push(fleet.blocks(size.blocks, size.time / 5, PATIENCE, &mut node)?);
            }
        }
        Ok(())
    }

    fn server(&self, node: &MockNode, settings: Settings) -> Result<Child, LoadError> {
        Child::pool(&self.program, &self.folder, &node.url(), &settings)
    }

    fn volley(size: &Size, accept: bool, pipeline: usize) -> Volley {
        Volley {
            accept,
            rate: None,
            pipeline,
            warm: size.time / 5,
            time: size.time,
            each: None,
            patience: PATIENCE,
        }
    }

    fn paths(&self, size: &Size, node: &MockNode) -> Result<Vec<Way>, LoadError> {
        let (echo, pool) = (Child::echo(&self.program)?, self.server(node, Settings::default())?);
        let ways = [
            ("echo", &echo.accept, Some(echo.pid()), true),
            ("millpond", &pool.accept, Some(pool.pid()), true),
            ("millpond", &pool.reject, Some(pool.pid()), false),
        ];
        Self::ways(size, &ways)
    }

    /// Servers at a time, ports, processes, and whether shares count there; each with 1 and 16 shares of a write.
    fn ways(size: &Size, ways: &[(&'static str, &String, Option<u32>, bool)]) -> Result<Vec<Way>, LoadError> {
        let mut paths = Vec::new();
        for pipeline in [1, 16] {
            for (server, port, pid, accept) in ways {
                let mut fleet = Fleet::start(options(port, size.miners, *pid))?;
                fleet.connect(Duration::ZERO)?;
                paths.push(Way { server, shares: fleet.fire(&Self::volley(size, *accept, pipeline))? });
            }
        }
        Ok(paths)
    }

    fn point(&self, size: &Size, node: &MockNode, interval: u64) -> Result<Point, LoadError> {
        let pool = self.server(node, Settings { interval: Some(interval), tls: false })?;
        let mut fleet = Fleet::start(options(&pool.accept, size.miners * 10, Some(pool.pid())))?;
        fleet.connect(Duration::ZERO)?;
        let volley = Volley { rate: Some(size.rate), ..Self::volley(size, true, 1) };
        let shares = fleet.fire(&volley)?;
        Ok(Point { interval_ms: interval as f64 / 1e3, shares })
    }

    fn room(&self, size: &Size, node: &MockNode, kind: &'static str) -> Result<Room, LoadError> {
        let tls = kind == "tls";
        let pool = self.server(node, Settings { interval: None, tls })?;
        let most = usize::try_from(raise_descriptors()?.saturating_sub(SPARE)).unwrap_or(usize::MAX);
        let connections = match (self.quick, tls) {
            (true, _) => size.storm,
            (false, true) => most.min(5_000),
            (false, false) => most.min(20_000),
        };
        let mut fleet =
            Fleet::start(Options { tls, ..options(&pool.accept, connections, Some(pool.pid())) })?;
        let storm = fleet.connect(Duration::ZERO)?;
        // 18 shares a minute each, as vardiff has it.
        let rate = storm.ready as f64 * 18.0 / 60.0;
        let time = if self.quick { size.time } else { self.mining };
        let volley = Volley { rate: Some(rate), warm: Duration::ZERO, time, ..Self::volley(size, true, 1) };
        let shares = fleet.fire(&volley)?;
        let held = fleet.held()?.ok_or(LoadError::Ended)?;
        Ok(Room { kind, connections: storm.ready, shares: shares.answered, seconds: shares.seconds, held })
    }

    fn logins(&self, size: &Size, node: &MockNode) -> Result<Vec<Storm>, LoadError> {
        let pool = self.server(node, Settings::default())?;
        let mut fleet = Fleet::start(options(&pool.reject, size.storm, Some(pool.pid())))?;
        let mut storms = Vec::new();
        for number in 0..3 {
            if number > 0 {
                fleet.close()?;
            }
            storms.push(fleet.connect(Duration::ZERO)?);
        }
        Ok(storms)
    }

    fn jobs(&self, size: &Size, node: &MockNode, miners: usize) -> Result<Jobs, LoadError> {
        let pool = self.server(node, Settings::default())?;
        let mut fleet = Fleet::start(options(&pool.reject, miners, Some(pool.pid())))?;
        fleet.connect(Duration::ZERO)?;
        fleet.blocks(size.blocks, size.time / 5, PATIENCE, &mut OwnBlocks::new(node))
    }
}

fn options(server: &str, connections: usize, pid: Option<u32>) -> Options {
    Options {
        from: (2..2 + SOURCES).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect(),
        server_pid: pid,
        patience: PATIENCE * 4,
        ..Options::new(server, connections)
    }
}
