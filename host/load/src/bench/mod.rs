//! The tables of the share path: a pool as a child process on a real file system, over the mock node of this process, and
//! a bare echo loop beside it, each measured from outside by its own CPU time.
//!
//! What came back is looked at before anything is told ([`Figures::off`]): a rate of answers that were not the expected ones
//! is no rate.

mod child;
mod machine;
mod page;
mod program;
mod take;
mod verdict;

pub use machine::Machine;
pub use page::{machine_table, page};
pub use program::Program;

use crate::fleet::LoadError;
use crate::node::{MockNode, Shape};
use crate::report::{Held, Jobs, Shares, Storm};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What is measured when nothing else is given.
const OWN: &str = "millpond run";

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
    /// This program.
    pub program: Program,
    /// The machine.
    pub machine: Machine,
    /// Whether the numbers were small: then they are not to be quoted.
    pub quick: bool,
    /// What was not as it has to be; unless this is empty, nothing here means anything.
    pub off: Vec<String>,
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
    /// Whether the server may use the processor's SHA-NI; of another server it is not known.
    pub sha_ni: Option<bool>,
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
    /// Payout addresses that the connections logged in with, in turn.
    pub addresses: usize,
    /// How they logged in, with what the server held right after.
    pub login: Storm,
    /// What came of mining, if they mined, and what the server held after it.
    pub mined: Option<Mined>,
}

/// Miners that mined for a while.
#[derive(Debug, Serialize)]
pub struct Mined {
    /// What came.
    pub shares: Shares,
    /// What the server held after it.
    pub held: Held,
}

/// What depends on `quick`.
struct Size {
    miners: &'static [usize],
    time: Duration,
    intervals: &'static [u64],
    steady: usize,
    rate: f64,
    storm: usize,
    addresses: u32,
    told: &'static [usize],
    blocks: usize,
    shape: Shape,
}

/// Something that is measured by itself.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ways { miners: usize, sha_ni: bool },
    Point(u64),
    Room { tls: bool },
    Logins,
    Jobs(usize),
    OtherWays,
    OtherLogins,
    OtherJobs(usize),
}

impl Step {
    fn what(self) -> String {
        match self {
            Self::Ways { miners, sha_ni: true } => format!("shares a CPU second, {miners} connections"),
            Self::Ways { miners, sha_ni: false } => {
                format!("shares a CPU second, {miners} connections, without SHA-NI")
            }
            Self::Point(interval) => format!("a steady rate with a commit interval of {interval} us"),
            Self::Room { tls } => format!("memory of {} connections", if tls { "TLS" } else { "plain" }),
            Self::Logins => "storms of logins".to_owned(),
            Self::OtherLogins => "storms of logins, and memory".to_owned(),
            Self::OtherWays => "refused shares a CPU second".to_owned(),
            Self::Jobs(miners) | Self::OtherJobs(miners) => format!("new blocks to {miners} miners"),
        }
    }
}

impl Bench {
    fn size(&self) -> Size {
        if self.quick {
            let shape = Shape { transactions: 300, bytes: 100_000, ..Shape::default() };
            return Size {
                miners: &[10],
                time: Duration::from_millis(500),
                intervals: &[0, 1_000],
                steady: 100,
                rate: 200.0,
                storm: 50,
                addresses: 20,
                told: &[30],
                blocks: 2,
                shape,
            };
        }
        Size {
            miners: &[50, 500],
            time: Duration::from_secs(10),
            intervals: &[0, 250, 500, 1_000, 2_000, 5_000],
            steady: 500,
            rate: 5_000.0,
            storm: 10_000,
            addresses: 400,
            told: &[5_000, 10_000],
            blocks: 10,
            shape: Shape::default(),
        }
    }

    /// What will be measured, in order.
    fn plan(&self, size: &Size, machine: &Machine) -> Vec<Step> {
        let wants = |table| self.tables.contains(&table);
        let mut plan = Vec::new();
        if let Some(other) = &self.against {
            // Memory comes first: a server holds on to what it once needed.
            if wants(Table::Memory) || wants(Table::Logins) {
                plan.push(Step::OtherLogins);
            }
            if wants(Table::Paths) {
                plan.push(Step::OtherWays);
            }
            if wants(Table::Jobs) && other.node.is_some() {
                plan.extend(size.told.iter().copied().map(Step::OtherJobs));
            }
            return plan;
        }
        if wants(Table::Paths) {
            plan.extend(size.miners.iter().map(|miners| Step::Ways { miners: *miners, sha_ni: true }));
            let without = size.miners.first().filter(|_| machine.sha_ni);
            plan.extend(without.map(|miners| Step::Ways { miners: *miners, sha_ni: false }));
        }
        if wants(Table::Curve) {
            plan.extend(size.intervals.iter().copied().map(Step::Point));
        }
        if wants(Table::Memory) {
            plan.extend([false, true].map(|tls| Step::Room { tls }));
        }
        if wants(Table::Logins) {
            plan.push(Step::Logins);
        }
        if wants(Table::Jobs) {
            plan.extend(size.told.iter().copied().map(Step::Jobs));
        }
        plan
    }

    /// Measures. `tell` hears what is measured next, how many steps are done, and how many there are.
    ///
    /// # Errors
    /// A folder in memory, a server that does not start or cannot be measured. Answers that were not the expected ones are no
    /// error here: [`Figures::off`] has them.
    pub fn run(&self, tell: &mut dyn FnMut(&str, usize, usize)) -> Result<Figures, LoadError> {
        let machine = Machine::look(Some(&self.folder))?;
        let size = self.size();
        let plan = self.plan(&size, &machine);
        let mut figures = Figures {
            server: self.against.as_ref().map_or(OWN, |other| &other.address).to_owned(),
            program: Program::of(&self.program),
            machine,
            quick: self.quick,
            off: Vec::new(),
            paths: Vec::new(),
            curve: Vec::new(),
            memory: Vec::new(),
            logins: Vec::new(),
            jobs: Vec::new(),
        };
        let node = MockNode::start(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), size.shape.clone())?;
        for (done, step) in plan.iter().enumerate() {
            tell(&step.what(), done, plan.len());
            self.take(*step, &size, &node, &mut figures)?;
        }
        figures.machine.look_again();
        figures.off = verdict::off(&figures);
        Ok(figures)
    }
}
