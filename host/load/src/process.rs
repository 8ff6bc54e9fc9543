//! What a process uses, as Linux tells it in `/proc`: the server's, and our own.

use serde::Serialize;
use std::io;

/// Ticks of a second in `/proc/PID/stat`: `USER_HZ`, 100 on every architecture that Linux tells programs about.
const TICKS: f64 = 100.0;

/// User and kernel time of a process since it began, in seconds.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let ticks = ticks.sum::<Result<f64, _>>().map_err(io::Error::other)?;
    Ok(ticks / TICKS)
}

/// Memory of a process, in bytes. What the kernel holds for its sockets is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident pages.
    pub resident: u64,
    /// Of those, pages that nobody else has.
    pub private: u64,
}

/// What a process holds now.
///
/// # Errors
/// When there is no such process, or it is somebody else's.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Ok(Memory { resident: of("Rss:"), private: of("Private_Clean:") + of("Private_Dirty:") })
}

/// Raises the number of files that this process may open to what it may raise it to; says how many that is.
///
/// # Errors
/// The system's.
pub fn raise_descriptors() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}

/// A process that is looked at while it works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    server: Option<u32>,
}

/// What was used between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    server: Option<f64>,
    own: f64,
}

/// What the server used, and what the generator did beside it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// User and kernel seconds of the server.
    pub server_cpu_seconds: Option<f64>,
    /// The same as a part of the time, in percent of one core.
    pub server_cpu_percent: Option<f64>,
    /// Seconds of the generator itself, on the same machine.
    pub generator_cpu_seconds: f64,
}

impl Watched {
    pub(crate) fn new(server: Option<u32>) -> Self {
        Self { server }
    }

    pub(crate) fn look(self) -> io::Result<Look> {
        Ok(Look { server: self.server.map(cpu_seconds).transpose()?, own: cpu_seconds(std::process::id())? })
    }

    pub(crate) fn used(self, since: Look, seconds: f64) -> io::Result<Usage> {
        let now = self.look()?;
        let server = now.server.zip(since.server).map(|(now, then)| now - then);
        Ok(Usage {
            server_cpu_seconds: server,
            server_cpu_percent: server.map(|cpu| 100.0 * cpu / seconds.max(1e-9)),
            generator_cpu_seconds: now.own - since.own,
        })
    }

    pub(crate) fn memory(self) -> io::Result<Option<Memory>> {
        self.server.map(memory).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_time_and_memory_and_one_that_is_not_there_is_an_error() {
        let me = std::process::id();
        let before = cpu_seconds(me).unwrap();
        let mut sum = 0_u64;
        while cpu_seconds(me).unwrap() < before + 0.02 {
            sum = std::hint::black_box(sum.wrapping_mul(3).wrapping_add(1));
        }
        let memory = memory(me).unwrap();
        assert!(memory.resident >= memory.private && memory.private > 0);
        assert!(cpu_seconds(u32::MAX).is_err() && super::memory(u32::MAX).is_err());
    }

    #[test]
    fn the_limit_of_descriptors_can_be_asked_for() {
        assert!(raise_descriptors().unwrap() > 0);
    }
}
