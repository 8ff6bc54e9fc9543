//! How each table is taken.

use super::child::{Child, Settings};
use super::{Bench, Figures, Mined, Other, Point, Room, Size, Step, Table, Way};
use crate::fleet::{Fleet, LoadError, Options, Volley};
use crate::logins;
use crate::node::{MockNode, OtherBlocks, OwnBlocks};
use crate::process::raise_descriptors;
use crate::report::{Jobs, Storm};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Descriptors that are left to the server's own files.
const SPARE: u64 = 500;
/// Connections from one address at most: each has a port of its own.
const SOURCES: u8 = 16;
/// Answers that are due at the end are waited for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Storms: the first, and two more of all that come back.
const STORMS: usize = 3;
/// Shares a second of a miner, as variable difficulty has it by default: 18 a minute.
const MINERS_RATE: f64 = 18.0 / 60.0;

/// Where shares are sent.
struct Port<'a> {
    server: &'static str,
    sha_ni: Option<bool>,
    address: &'a str,
    pid: Option<u32>,
    /// Whether shares count there.
    accept: bool,
}

impl Bench {
    /// Takes one step of the plan.
    pub(super) fn take(
        &self,
        step: Step,
        size: &Size,
        node: &MockNode,
        figures: &mut Figures,
    ) -> Result<(), LoadError> {
        match (step, &self.against) {
            (Step::Ways { miners, sha_ni }, _) => {
                let has = figures.machine.sha_ni;
                figures.paths.extend(self.ways(size, node, miners, sha_ni && has)?);
            }
            (Step::Point(interval), _) => figures.curve.push(self.point(size, node, interval)?),
            (Step::Room { tls }, _) => figures.memory.push(self.room(size, node, tls)?),
            (Step::Logins, _) => {
                let pool = self.server(node, Settings::default())?;
                let mut fleet = Fleet::start(options(&pool.reject, size.storm, size, Some(pool.pid())))?;
                figures.logins = storms(&mut fleet, Duration::ZERO)?;
            }
            (Step::Jobs(miners), _) => {
                let pool = self.server(node, Settings::default())?;
                let mut fleet = Fleet::start(options(&pool.reject, miners, size, Some(pool.pid())))?;
                figures.jobs.push(blocks(size, &mut fleet, &mut OwnBlocks::new(node))?);
            }
            (Step::OtherLogins, Some(other)) => self.other_logins(other, size, figures)?,
            (Step::OtherWays, Some(other)) => {
                let echo = Child::echo(&self.program)?;
                let (address, pid) = (&*other.address, other.pid);
                let ports =
                    [echo_port(&echo), Port { server: "other", sha_ni: None, address, pid, accept: false }];
                figures.paths = fire(size, size.miners.first().copied().unwrap_or(1), &ports)?;
            }
            (Step::OtherJobs(miners), Some(Other { address, pid, node: Some(url) })) => {
                let mut fleet = Fleet::start(options(address, miners, size, *pid))?;
                figures.jobs.push(blocks(size, &mut fleet, &mut OtherBlocks::at(url)?)?);
            }
            (Step::OtherLogins | Step::OtherWays | Step::OtherJobs(_), _) => {}
        }
        Ok(())
    }

    fn server(&self, node: &MockNode, settings: Settings) -> Result<Child, LoadError> {
        Child::pool(&self.program, &self.folder, &node.url(), &settings)
    }

    /// Both paths of a pool of our own, and the echo loop where the pool uses all that the processor has.
    fn ways(&self, size: &Size, node: &MockNode, miners: usize, sha_ni: bool) -> Result<Vec<Way>, LoadError> {
        let echo = Child::echo(&self.program)?;
        let pool = self.server(node, Settings { without_sha_ni: !sha_ni, ..Settings::default() })?;
        let port = |address, accept| {
            let pid = Some(pool.pid());
            Port { server: "millpond", sha_ni: Some(sha_ni), address, pid, accept }
        };
        fire(size, miners, &[echo_port(&echo), port(&pool.accept, true), port(&pool.reject, false)])
    }

    fn point(&self, size: &Size, node: &MockNode, interval: u64) -> Result<Point, LoadError> {
        let pool = self.server(node, Settings { interval: Some(interval), ..Settings::default() })?;
        let mut fleet = Fleet::start(options(&pool.accept, size.steady, size, Some(pool.pid())))?;
        fleet.connect(Duration::ZERO)?;
        let shares = fleet.fire(&Volley { rate: Some(size.rate), ..volley(size, true, 1) })?;
        Ok(Point { interval_ms: interval as f64 / 1e3, shares })
    }

    fn room(&self, size: &Size, node: &MockNode, tls: bool) -> Result<Room, LoadError> {
        let pool = self.server(node, Settings { tls, ..Settings::default() })?;
        let most = usize::try_from(raise_descriptors()?.saturating_sub(SPARE)).unwrap_or(usize::MAX);
        let connections = match (self.quick, tls) {
            (true, _) => size.storm,
            (false, true) => most.min(5_000),
            (false, false) => most.min(20_000),
        };
        let options = Options { tls, ..options(&pool.accept, connections, size, Some(pool.pid())) };
        let addresses = options.users.len();
        let mut fleet = Fleet::start(options)?;
        let login = fleet.connect(size.time / 5)?;
        let rate = Some(login.ready as f64 * MINERS_RATE);
        let time = if self.quick { size.time } else { self.mining };
        let shares = fleet.fire(&Volley { rate, warm: Duration::ZERO, time, ..volley(size, true, 1) })?;
        let held = fleet.held()?.ok_or(LoadError::Ended)?;
        let kind = if tls { "tls" } else { "plain" };
        Ok(Room { kind, addresses, login, mined: Some(Mined { shares, held }) })
    }

    /// What any server can be asked about logins, and what it holds after the first storm.
    fn other_logins(&self, other: &Other, size: &Size, figures: &mut Figures) -> Result<(), LoadError> {
        let options = options(&other.address, size.storm, size, other.pid);
        let addresses = options.users.len();
        let all = storms(&mut Fleet::start(options)?, size.time / 5)?;
        if self.tables.contains(&Table::Memory)
            && let Some(first) = all.first().filter(|first| first.memory.is_some())
        {
            figures.memory.push(Room { kind: "plain", addresses, login: first.clone(), mined: None });
        }
        if self.tables.contains(&Table::Logins) {
            figures.logins = all;
        }
        Ok(())
    }
}

fn echo_port(echo: &Child) -> Port<'_> {
    Port { server: "echo", sha_ni: None, address: &echo.accept, pid: Some(echo.pid()), accept: true }
}

/// All connect; all drop and come back, twice.
fn storms(fleet: &mut Fleet, hold: Duration) -> Result<Vec<Storm>, LoadError> {
    let mut storms = vec![fleet.connect(hold)?];
    for _ in 1..STORMS {
        fleet.close()?;
        storms.push(fleet.connect(Duration::ZERO)?);
    }
    Ok(storms)
}

fn blocks(size: &Size, fleet: &mut Fleet, node: &mut dyn crate::fleet::Blocks) -> Result<Jobs, LoadError> {
    fleet.connect(Duration::ZERO)?;
    fleet.blocks(size.blocks, size.time / 5, PATIENCE, node)
}

/// Each port in turn, with 1 and 16 shares of a write.
fn fire(size: &Size, miners: usize, ports: &[Port<'_>]) -> Result<Vec<Way>, LoadError> {
    let mut ways = Vec::new();
    for pipeline in [1, 16] {
        for Port { server, sha_ni, address, pid, accept } in ports {
            let mut fleet = Fleet::start(options(address, miners, size, *pid))?;
            fleet.connect(Duration::ZERO)?;
            let shares = fleet.fire(&volley(size, *accept, pipeline))?;
            ways.push(Way { server, sha_ni: *sha_ni, shares });
        }
    }
    Ok(ways)
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

fn options(server: &str, connections: usize, size: &Size, pid: Option<u32>) -> Options {
    let addresses = size.addresses.min(u32::try_from(connections).unwrap_or(u32::MAX));
    Options {
        from: (2..2 + SOURCES).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect(),
        server_pid: pid,
        users: logins(addresses),
        patience: PATIENCE * 4,
        ..Options::new(server, connections)
    }
}
