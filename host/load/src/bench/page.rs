//! The figures as a page of the documentation.

use super::{Figures, Machine, OWN, Program, Way};
use crate::histogram::Latency;
use crate::report::{Held, Jobs, Spread, Storm};
use std::fmt::{Result, Write as _};

/// Writes the page. `command` is what writes it again; `more` are sections of other measurements of the same run.
#[must_use]
pub fn page(figures: &Figures, command: &str, more: &str) -> String {
    let under_test = if figures.server == OWN {
        "A pool runs as a child process (`millpond run`) on a real file system, over a mock node with the template of a full \
         block; the miners, the node and what measures are one other process on the same cores."
            .to_owned()
    } else {
        format!("The server was another one, at {}: what any server can be asked is here.", figures.server)
    };
    let mut out = format!(
        "# Performance\n\n\
         Written by `{command} --page FILE`, which prints the same as JSON with `--json`.\n\
         {under_test}\n\
         Rates are shares per CPU second of the server's process, user and kernel time: take the ratios to the echo loop of \
         the same run,\nnot the absolutes. It was found to be so, else there were no page: every share was answered as it \
         had to be (accepted and durable, or\nrefused as below its target), nobody was disconnected, and every miner was \
         told of every block.\n\n"
    );
    // Into memory, which does not fail.
    let _ = sections(figures, &mut out);
    out.push_str(more);
    out
}

/// The machine, and the program that measured, as a table.
#[must_use]
pub fn machine_table(machine: &Machine, program: &Program) -> String {
    let have = |has: bool| if has { "yes" } else { "no" };
    let mut out = "| machine | |\n|---|---|\n".to_owned();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "| {name} | {value} |");
    };
    row("day", machine.day());
    row("millpond", format!("{}, commit {}", program.version, program.commit));
    row("processor", format!("{}, {} cores", machine.processor, machine.cores));
    row("SHA-NI, AVX2", format!("{}, {}", have(machine.sha_ni), have(machine.avx2)));
    row("kernel", machine.kernel.clone());
    if let (Some(name), Some(sync)) = (&machine.file_system, machine.fdatasync_us) {
        row("file system", name.clone());
        row("append and fdatasync, median", format!("{sync:.0} us"));
    }
    row("descriptors of a process", machine.descriptors.to_string());
    let end = machine.load_at_end.map_or(String::new(), |load| format!(", when it ended {load:.1}"));
    row("load of a minute", format!("when it began {:.1}{end}", machine.load));
    out
}

fn sections(figures: &Figures, out: &mut String) -> Result {
    if figures.quick {
        out.push_str("**A quick run: small numbers and short times. Not to be quoted.**\n\n");
    }
    out.push_str(&machine_table(&figures.machine, &figures.program));
    paths(&figures.paths, out)?;
    curve(figures, out)?;
    memory(figures, out)?;
    logins(&figures.logins, out)?;
    blocks(&figures.jobs, out)
}

fn paths(paths: &[Way], out: &mut String) -> Result {
    if paths.is_empty() {
        return Ok(());
    }
    out.push_str(
        "\n## Shares a CPU second\n\n\
         Each connection has so many shares in a write and awaits their answers before the next. Accepted shares are \
         deduplicated, accounted\nand on disk before their answer; refused ones miss their target, after coinbase, merkle \
         branch and header were hashed (the blocks that a\ncoinbase of one session begins with are hashed once for each \
         session and job). Every share has an extranonce2 of its own. The echo loop\nreads the id of a line and no more. \
         Each row is held against the echo loop above it. SHA-NI is switched off with `MILLPOND_WITHOUT=sha-ni`. Times are of all answers after a warm-up.\n\n\
         | path | SHA-NI | connections | a write | a CPU second | us each | of the echo loop's | CPU of a core | p50 | p99 | \
         answered, warm-up and all |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    // Each server is measured right after the echo loop that it is held against.
    let mut floor = None;
    for way in paths {
        let shares = &way.shares;
        if way.server == "echo" {
            floor = shares.per_server_cpu_second;
        }
        let part = shares.per_server_cpu_second.zip(floor).map(|(own, floor)| 100.0 * own / floor);
        let name = if way.server == "echo" { "echo loop" } else { &shares.path };
        let sha_ni = way.sha_ni.map_or("-", |used| if used { "on" } else { "off" });
        let at = |of: fn(&Latency) -> f64| ms(shares.latency.as_ref().map(of));
        writeln!(
            out,
            "| {name} | {sha_ni} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            shares.connections,
            shares.pipeline.unwrap_or(1),
            number(shares.per_server_cpu_second, 0),
            number(shares.server_cpu_us_each, 2),
            percent(part),
            percent(shares.usage.server_cpu_percent),
            at(|latency| latency.p50),
            at(|latency| latency.p99),
            shares.sent
        )?;
    }
    Ok(())
}

fn curve(figures: &Figures, out: &mut String) -> Result {
    let Some(first) = figures.curve.first() else { return Ok(()) };
    writeln!(
        out,
        "\n## A steady rate, by commit interval\n\n{:.0} shares a second on {} connections. `host.commit_interval` is how long \
         a share may wait for company before it is synced.\nThe generator sleeps in whole milliseconds, so that what a \
         millisecond brings arrives together. How late it was at most is told:\nwhere that is more than a few milliseconds, \
         others had its core, and the latencies are theirs.\n",
        first.shares.rate.unwrap_or(0.0),
        first.shares.connections
    )?;
    out.push_str(
        "| interval | CPU of a core | us each | p50 | p99 | p99.9 | answered a second | generator behind | answered |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for point in &figures.curve {
        let shares = &point.shares;
        let at = |of: fn(&Latency) -> f64| ms(shares.latency.as_ref().map(of));
        writeln!(
            out,
            "| {} ms | {} | {} | {} | {} | {} | {:.0} | {} | {} |",
            point.interval_ms,
            percent(shares.usage.server_cpu_percent),
            number(shares.server_cpu_us_each, 2),
            at(|latency| latency.p50),
            at(|latency| latency.p99),
            at(|latency| latency.p999),
            shares.per_second,
            ms(shares.behind_ms),
            shares.sent
        )?;
    }
    Ok(())
}

fn memory(figures: &Figures, out: &mut String) -> Result {
    if figures.memory.is_empty() {
        return Ok(());
    }
    out.push_str(
        "\n## Memory of a connection\n\nPrivate pages of the process with all connections, less those before the first, \
         divided: right after all had logged in, and after they\nhad mined at 18 shares a minute each. No block was made \
         meanwhile, so that the id of every share is still remembered. What the kernel\nholds for sockets is not in it.\n\n\
         | | connections | addresses | after login | mined for | shares | after that |\n|---|---|---|---|---|---|---|\n",
    );
    let kb = |held: &Held| format!("{:.2} KB", held.private_per_connection / 1024.0);
    for room in &figures.memory {
        let login = room.login.memory.as_ref().map_or_else(nothing, kb);
        let mined = room.mined.as_ref();
        writeln!(
            out,
            "| {} | {} | {} | {login} | {} | {} | {} |",
            room.kind,
            room.login.ready,
            room.addresses,
            mined.map_or_else(nothing, |mined| format!("{:.0} s", mined.shares.seconds)),
            mined.map_or_else(nothing, |mined| mined.shares.sent.to_string()),
            mined.map_or_else(nothing, |mined| kb(&mined.held))
        )?;
    }
    Ok(())
}

fn logins(logins: &[Storm], out: &mut String) -> Result {
    if logins.is_empty() {
        return Ok(());
    }
    out.push_str(
        "\n## Connect, subscribe, authorize\n\nAll connect as fast as 128 handshakes at a time allow, then drop and come \
         back. At its first login a name is asked of the adapter,\nseveral in one call, and remembered.\n\n\
         | storm | clients | a CPU second | us each | a second | p50 | p99 |\n|---|---|---|---|---|---|---|\n",
    );
    for (place, storm) in logins.iter().enumerate() {
        let at = |of: fn(&Latency) -> f64| ms(storm.latency.as_ref().map(of));
        let rate = storm.per_server_cpu_second;
        writeln!(
            out,
            "| {} | {} | {} | {} | {:.0} | {} | {} |",
            if place == 0 { "first" } else { "all came back" },
            storm.ready,
            number(rate, 0),
            number(rate.map(|rate| 1e6 / rate), 1),
            storm.per_second,
            at(|latency| latency.p50),
            at(|latency| latency.p99)
        )?;
    }
    Ok(())
}

fn blocks(all: &[Jobs], out: &mut String) -> Result {
    if all.is_empty() {
        return Ok(());
    }
    out.push_str(
        "\n## A new block\n\nFrom the template's last byte, written by the node, to the line that each miner read; the median \
         and the worst of all blocks. The chain\nadapter's WebAssembly is in it, and the time in which the generator, on the \
         same cores, read the lines.\n\n\
         | miners | blocks | first | median miner | last miner | last miner, worst |\n|---|---|---|---|---|---|\n",
    );
    for jobs in all {
        let of = |of: fn(&Spread) -> f64, part: f64| ms(at(jobs, of, part));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            jobs.connections,
            jobs.blocks.len(),
            of(|block| block.first, 0.5),
            of(|block| block.median, 0.5),
            of(|block| block.last, 0.5),
            of(|block| block.last, 1.0)
        )?;
    }
    Ok(())
}

/// Of all blocks, what this part did not exceed.
fn at(jobs: &Jobs, of: fn(&Spread) -> f64, part: f64) -> Option<f64> {
    let mut all: Vec<f64> = jobs.blocks.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    let last = all.len().checked_sub(1)?;
    all.get((last as f64 * part).round() as usize).copied()
}

fn nothing() -> String {
    "-".to_owned()
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(nothing, |value| format!("{value:.2} ms"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(nothing, |value| format!("{value:.1} %"))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(nothing, |value| format!("{value:.digits$}"))
}
