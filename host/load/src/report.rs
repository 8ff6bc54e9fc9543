//! What a load test came to: data for machines, a table for people.

use crate::histogram::Latency;
use crate::process::{Memory, Usage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How connecting, subscribing and logging in went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Storm {
    /// Connections that were wanted.
    pub wanted: usize,
    /// Those that were logged in at the end.
    pub ready: u64,
    /// Those that had a job, too.
    pub with_job: u64,
    /// Those that failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// From the first connection's beginning to the last one's login.
    pub seconds: f64,
    /// Logins a second of that time.
    pub per_second: f64,
    /// Logins a second of the server's CPU time.
    pub per_server_cpu_second: Option<f64>,
    /// From a connection's beginning to its login.
    pub latency: Option<Latency>,
    /// What it took.
    pub usage: Usage,
    /// The server's memory before and after.
    pub memory: Option<Held>,
}

/// What a server held before its connections and with them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Held {
    /// Before the first.
    pub before: Memory,
    /// With all, after the time they were held.
    pub after: Memory,
    /// Private bytes of one connection: the difference, divided.
    pub private_per_connection: f64,
    /// Resident bytes of one connection.
    pub resident_per_connection: f64,
}

impl Held {
    pub(crate) fn new(before: Memory, after: Memory, connections: u64) -> Self {
        let each = |before: u64, after: u64| (after as f64 - before as f64) / (connections.max(1) as f64);
        Self {
            before,
            after,
            private_per_connection: each(before.private, after.private),
            resident_per_connection: each(before.resident, after.resident),
        }
    }
}

/// How shares went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Shares {
    /// "accept" or "reject".
    pub path: String,
    /// Shares of one write, where as many as possible were sent.
    pub pipeline: Option<usize>,
    /// Shares a second that were wanted, where a rate was.
    pub rate: Option<f64>,
    /// Connections that were wanted.
    pub wanted: usize,
    /// Connections that sent.
    pub connections: u64,
    /// Shares sent.
    pub sent: u64,
    /// Shares that counted.
    pub accepted: u64,
    /// Shares that did not, by what the server said.
    pub rejected: BTreeMap<String, u64>,
    /// Shares that were never answered.
    pub unanswered: u64,
    /// Connections that the server closed meanwhile.
    pub closed: u64,
    /// The time that was measured.
    pub seconds: f64,
    /// Answers within it.
    pub answered: u64,
    /// Answers a second.
    pub per_second: f64,
    /// Answers a second of the server's CPU time.
    pub per_server_cpu_second: Option<f64>,
    /// Microseconds of the server's CPU for each answer.
    pub server_cpu_us_each: Option<f64>,
    /// From a share's write to its answer, for all answers after the warm-up.
    pub latency: Option<Latency>,
    /// The most that a share was sent behind its time, in milliseconds, after the warm-up, where a rate was wanted.
    pub behind_ms: Option<f64>,
    /// What it took.
    pub usage: Usage,
}

impl Shares {
    /// All shares that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// How a new block's jobs reached the miners.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Jobs {
    /// Connections that were wanted.
    pub wanted: usize,
    /// Connections that were there.
    pub connections: u64,
    /// One for each block, in order.
    pub blocks: Vec<Spread>,
    /// What it took.
    pub usage: Usage,
}

/// How one block's job reached the miners: milliseconds from the last byte of the template to their line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Spread {
    /// Connections that were told.
    pub told: u64,
    /// The first.
    pub first: f64,
    /// The median.
    pub median: f64,
    /// The last.
    pub last: f64,
    /// From the block to the last byte of its template: how long the server took to ask.
    pub asked: f64,
}

fn latency(f: &mut fmt::Formatter<'_>, what: &str, latency: Option<&Latency>) -> fmt::Result {
    let Some(latency) = latency else { return Ok(()) };
    let Latency { p50, p90, p99, p999, max, .. } = latency;
    writeln!(f, "{what:<28}p50 {p50:.3}  p90 {p90:.3}  p99 {p99:.3}  p99.9 {p999:.3}  max {max:.3} ms")
}

fn usage(f: &mut fmt::Formatter<'_>, usage: &Usage) -> fmt::Result {
    if let (Some(cpu), Some(percent)) = (usage.server_cpu_seconds, usage.server_cpu_percent) {
        writeln!(f, "{:<28}{cpu:.2} s ({percent:.1} % of a core)", "CPU of the server")?;
    }
    writeln!(f, "{:<28}{:.2} s", "CPU of the generator", usage.generator_cpu_seconds)
}

fn counted(f: &mut fmt::Formatter<'_>, what: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    counts.iter().try_for_each(|(why, count)| writeln!(f, "{:<28}{count} {why}", format!("  {what}")))
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<28}{} of {} in {:.2} s: {:.0} a second",
            "connected and logged in", self.ready, self.wanted, self.seconds, self.per_second
        )?;
        counted(f, "failed", &self.failed)?;
        if let Some(rate) = self.per_server_cpu_second {
            writeln!(f, "{:<28}{rate:.0}", "a CPU second of the server")?;
        }
        latency(f, "beginning to login", self.latency.as_ref())?;
        usage(f, &self.usage)?;
        if let Some(held) = &self.memory {
            let kb = |bytes: f64| bytes / 1024.0;
            writeln!(
                f,
                "{:<28}{:.2} KB private, {:.2} KB resident each; {:.1} MB before, {:.1} MB with all",
                "memory of the server",
                kb(held.private_per_connection),
                kb(held.resident_per_connection),
                kb(held.before.private as f64) / 1024.0,
                kb(held.after.private as f64) / 1024.0
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.rate, self.pipeline) {
            (Some(rate), _) => format!("{rate:.0} a second"),
            (None, pipeline) => format!("as fast as possible, {} a write", pipeline.unwrap_or(1)),
        };
        writeln!(f, "{:<28}{} on {} connections", format!("{} path", self.path), how, self.connections)?;
        writeln!(
            f,
            "{:<28}{} sent, {} accepted, {} refused, {} unanswered",
            "shares",
            self.sent,
            self.accepted,
            self.refused(),
            self.unanswered
        )?;
        counted(f, "refused", &self.rejected)?;
        if self.closed > 0 {
            writeln!(f, "{:<28}{}", "closed by the server", self.closed)?;
        }
        writeln!(f, "{:<28}{:.0} a second in {:.1} s", "answered", self.per_second, self.seconds)?;
        if let Some(rate) = self.per_server_cpu_second {
            let each = self.server_cpu_us_each.unwrap_or(0.0);
            writeln!(f, "{:<28}{rate:.0}: {each:.2} us each", "a CPU second of the server")?;
        }
        latency(f, "share to answer", self.latency.as_ref())?;
        if let Some(behind) = self.behind_ms {
            writeln!(f, "{:<28}{behind:.1} ms at most", "behind its time")?;
        }
        usage(f, &self.usage)
    }
}

impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28}{} connections", "new blocks", self.connections)?;
        for (number, block) in self.blocks.iter().enumerate() {
            writeln!(
                f,
                "{:<28}{} told: first {:.1}, median {:.1}, last {:.1} ms from the template's last byte ({:.1} ms to ask for it)",
                format!("  block {}", number + 1),
                block.told,
                block.first,
                block.median,
                block.last,
                block.asked
            )?;
        }
        usage(f, &self.usage)
    }
}
