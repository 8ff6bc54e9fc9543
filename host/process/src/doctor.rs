//! `millpond doctor`: everything that a configuration needs, looked at before it is run, or beside it.
//!
//! Nothing is changed and nothing is sent. A finding says what is, and what to do. What belongs to one pool is in
//! [`millpond_pool::doctor`]; here are the machine and the order of things.

use millpond_config::Config;
use millpond_disk::{Disk, RealDisk};
use millpond_pool::doctor::{self, Finding, Findings, Health};
use millpond_pool::setup::{Prepared, prepare};
use millpond_pool::sockets;
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Descriptors that a process needs beside its miners: logs, nodes, wallets, pages.
const OTHER_FILES: u64 = 256;
/// Memory of a connection, buffers of the kernel included, and of a process without any, in bytes.
const PER_CONNECTION: u64 = 64 << 10;
const AT_REST: u64 = 512 << 20;
/// A disk with less than this is nearly full whatever the forecast says, in bytes.
const LITTLE: u64 = 1 << 30;

/// Looks at everything. `file` is where the configuration was read from; a node has `patience` to give work. Blocks; not
/// to be called on a runtime's thread.
///
/// # Errors
/// When there are no threads to look with; everything else is a finding.
pub fn examine(
    config: &Config,
    file: &Path,
    compiler: Compiler,
    patience: Duration,
) -> std::io::Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut machine = Findings::of("");
    let running = folders(config, disk.as_ref(), &mut machine);
    limits(config, &mut machine);
    ports(config, running, &mut machine);
    let mut all = machine.all;
    let sandbox = match Sandbox::new(None, compiler) {
        Ok(sandbox) => sandbox,
        Err(why) => {
            let mut none = Findings::of("");
            none.bad("plugins", why.to_string(), "this machine cannot run plugins");
            all.extend(none.all);
            return Ok(all);
        }
    };
    for section in &config.pool {
        let mut findings = Findings::of(section.name.as_str());
        let folder = config.host.data.join(section.name.as_str());
        let beside = file.parent().unwrap_or(Path::new(""));
        let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
        if let Err(why) = sockets::stratum(section) {
            why.0.into_iter().for_each(|line| findings.bad("ports", line, "correct the configuration"));
        }
        match prepare(section.clone(), beside, &sandbox, &sink) {
            Err(why) => {
                why.0.into_iter().for_each(|line| findings.bad("plugins", line, "correct the configuration"));
            }
            Ok(prepared) => {
                loaded(&prepared, &mut findings);
                doctor::nodes(&prepared, patience, runtime.handle(), &mut findings);
                doctor::pays(&prepared, &disk, &folder, runtime.handle(), &mut findings);
            }
        }
        room(config, &disk, &folder, &mut findings);
        all.extend(findings.all);
    }
    runtime.shutdown_background();
    Ok(all)
}

/// Whether the pool would work: nothing is [`Health::Bad`].
#[must_use]
pub fn fit(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.health != Health::Bad)
}

fn loaded(prepared: &Prepared, findings: &mut Findings) {
    let mut names = vec![prepared.adapter_component.name.clone(), prepared.wanted.scheme.name.clone()];
    names.extend(prepared.wanted.fees.iter().map(|fee| fee.component.name.clone()));
    findings.good("plugins", format!("{} load and take their settings", names.join(", ")));
}

/// Folders that are written to; says whether a millpond has the data folder already.
fn folders(config: &Config, disk: &dyn Disk, findings: &mut Findings) -> bool {
    const ABOUT: &str = "folders";
    let data = &config.host.data;
    writable("host.data", data, findings);
    if let Some(backup) = &config.backup {
        writable("backup.to", &backup.to, findings);
    }
    for tls in config.pool.iter().flat_map(|pool| &pool.port).filter_map(|port| port.tls.as_ref()) {
        match std::fs::metadata(&tls.key) {
            Ok(about) if about.permissions().mode() & 0o077 != 0 => findings.warn(
                ABOUT,
                format!("{} can be read by other users", tls.key.display()),
                "chmod 600, owned by the user that runs millpond",
            ),
            Ok(_) => {}
            Err(why) => {
                findings.bad(ABOUT, format!("{}: {why}", tls.key.display()), "correct port.tls.key");
            }
        }
    }
    let lock = data.join("lock");
    if !lock.exists() {
        return false;
    }
    let running = disk.lock(&lock).is_err();
    if running {
        findings.good(ABOUT, format!("a millpond runs on {}", data.display()));
    }
    running
}

/// Tries to write where the process will, or where it will make its folder.
fn writable(option: &str, folder: &Path, findings: &mut Findings) {
    const ABOUT: &str = "folders";
    let mut place: PathBuf = folder.to_owned();
    while !place.exists() {
        match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => place = parent.to_owned(),
            _ => place = PathBuf::from("."),
        }
    }
    let probe = place.join(format!(".millpond-doctor-{}", std::process::id()));
    let tried = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
    let shown = place.display();
    if let Err(why) = tried {
        let remedy = "give it to the user that runs millpond";
        return findings.bad(ABOUT, format!("{option}: nothing can be written in {shown}: {why}"), remedy);
    }
    let mode = std::fs::metadata(&place).map_or(0, |about| about.permissions().mode());
    if place == folder && mode & 0o022 != 0 {
        let text = format!("{option}: other users can write in {shown} (mode {:o})", mode & 0o777);
        return findings.warn(ABOUT, text, "chmod go-w: who writes there can take over the pool");
    }
    findings.good(ABOUT, format!("{option}: {shown} can be written"));
}

/// Descriptors and memory against the connections that the configuration admits.
fn limits(config: &Config, findings: &mut Findings) {
    let connections: u64 = config.pool.iter().map(|pool| u64::from(pool.stratum.connections)).sum();
    let needed = connections.saturating_add(OTHER_FILES);
    match std::fs::read_to_string("/proc/self/limits").ok().and_then(|text| open_files(&text)) {
        None => findings.warn("open files", "their limit is not to be had", "set it by hand: ulimit -n"),
        Some(limit) if limit < needed => findings.warn(
            "open files",
            format!("{limit} may be open, but {connections} connections need {needed}"),
            "raise it (LimitNOFILE, ulimit -n), or lower stratum.connections",
        ),
        Some(limit) => {
            findings
                .good("open files", format!("{limit} may be open, {connections} connections need {needed}"));
        }
    }
    let needed = connections.saturating_mul(PER_CONNECTION).saturating_add(AT_REST);
    match std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text)) {
        None => findings.warn("memory", "what is free is not to be had", "look by hand"),
        Some(free) if free < needed => findings.warn(
            "memory",
            format!("{} MiB are free, {connections} connections may need {} MiB", free >> 20, needed >> 20),
            "add memory, or lower stratum.connections",
        ),
        Some(free) => {
            let (free, needed) = (free >> 20, needed >> 20);
            findings
                .good("memory", format!("{free} MiB are free, {connections} connections may need {needed}"));
        }
    }
}

/// The soft limit in the text of `/proc/self/limits`.
fn open_files(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Bytes that can be had, in the text of `/proc/meminfo`.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether what is to be listened on is free.
fn ports(config: &Config, running: bool, findings: &mut Findings) {
    const ABOUT: &str = "ports";
    if running {
        return findings.good(ABOUT, "not tried: the running millpond has them");
    }
    let of_pools = config.pool.iter().flat_map(|pool| &pool.port).map(|port| port.listen);
    let addresses: Vec<SocketAddr> = of_pools.chain(config.http.as_ref().map(|http| http.listen)).collect();
    let mut free = 0;
    for address in &addresses {
        match TcpListener::bind(address) {
            Ok(_) => free += 1,
            Err(why) => findings.bad(
                ABOUT,
                format!("{address} cannot be listened on: {why}"),
                "end what has it, or choose another port",
            ),
        }
    }
    if free == addresses.len() {
        findings.good(ABOUT, format!("all {free} are free"));
    }
}

/// Free space against the forecast of a pool's journal.
fn room(config: &Config, disk: &Arc<dyn Disk>, folder: &Path, findings: &mut Findings) {
    const ABOUT: &str = "disk";
    const REMEDY: &str = "free space, set retention.keep, or move host.data to a larger disk";
    let mut place = folder;
    while !place.exists() {
        match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => place = parent,
            _ => place = Path::new("."),
        }
    }
    let free = match disk.free_space(place) {
        Ok(free) => free,
        Err(why) => return findings.warn(ABOUT, why.to_string(), "look by hand"),
    };
    let wanted = config.host.disk_forecast.as_secs() / 86_400;
    match doctor::disk_days(disk, folder, free) {
        Some(days) if days < wanted => {
            let text = format!("{} MiB are free: full in {days} days, {wanted} are wanted", free >> 20);
            findings.warn(ABOUT, text, REMEDY);
        }
        _ if free < LITTLE => findings.warn(ABOUT, format!("{} MiB are free", free >> 20), REMEDY),
        Some(days) => findings.good(ABOUT, format!("{} MiB are free, enough for {days} days", free >> 20)),
        None => findings.good(ABOUT, format!("{} MiB are free", free >> 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_limits_are_read_as_linux_writes_them() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files(&limits.replace("1024  ", "unlimited")), Some(u64::MAX));
        assert_eq!(open_files("Max open files"), None);
        let memory = "MemTotal:       24689292 kB\nMemFree:  1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(available(memory), Some(2 << 20));
        assert_eq!(available("MemTotal: 5 kB"), None);
    }
}
