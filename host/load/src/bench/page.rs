//! The figures as a page of the documentation.

use super::{Figures, OWN, Way};
use crate::histogram::Latency;
use crate::report::{Jobs, Spread};
use std::fmt::Write as _;

/// Writes the page.
#[must_use]
pub fn page(figures: &Figures) -> String {
    let under_test = if figures.server == OWN {
        "A pool runs as a child\nprocess (`millpond run`) on a real file system over a mock node with a full block's template"
            .to_owned()
    } else {
        format!("The server\nwas another one, at {}: what any server can be asked is here", figures.server)
    };
    let mut out = format!(
        "# Performance of the share path\n\n\
         Written by `millpond bench share --page FILE`; the same run prints it as JSON. {under_test}; the miners\n\
         and the node share another process on the same cores. Rates are shares per CPU second of the server's process, user\n\
         and kernel time: take the ratios to the echo loop, not the absolutes.\n\n"
    );
    // Into memory, which does not fail.
    let _ = sections(figures, &mut out);
    out
}

fn sections(figures: &Figures, out: &mut String) -> std::fmt::Result {
    if figures.quick {
        out.push_str("**A quick run: small numbers and short times. Not to be quoted.**\n\n");
    }
    let machine = &figures.machine;
    let have = |has: bool| if has { "yes" } else { "no" };
    writeln!(out, "| machine | |\n|---|---|")?;
    writeln!(out, "| day | {} |", machine.day())?;
    writeln!(out, "| processor | {}, {} cores |", machine.processor, machine.cores)?;
    writeln!(out, "| SHA-NI, AVX2 | {}, {} |", have(machine.sha_ni), have(machine.avx2))?;
    writeln!(out, "| kernel | {} |", machine.kernel)?;
    writeln!(out, "| file system | {} |", machine.file_system)?;
    writeln!(out, "| append and fdatasync, median | {:.0} us |", machine.fdatasync_us)?;
    writeln!(out, "| descriptors of a process | {} |", machine.descriptors)?;
    writeln!(out, "| load when it began | {:.1} |", machine.load)?;
    paths(&figures.paths, out)?;
    if let Some(first) = figures.curve.first() {
        writeln!(
            out,
            "\n## A steady rate, by commit interval\n\n{:.0} shares a second on {} connections. `host.commit_interval` is how \
             long a share may wait\nfor company before it is synced.\n",
            first.shares.rate.unwrap_or(0.0),
            first.shares.connections
        )?;
        writeln!(
            out,
            "| interval | CPU of a core | p50 | p99 | p99.9 | answered a second |\n|---|---|---|---|---|---|"
        )?;
        for point in &figures.curve {
            let at = |of: fn(&Latency) -> f64| ms(point.shares.latency.as_ref().map(of));
            writeln!(
                out,
                "| {} ms | {} | {} | {} | {} | {:.0} |",
                point.interval_ms,
                percent(point.shares.usage.server_cpu_percent),
                at(|latency| latency.p50),
                at(|latency| latency.p99),
                at(|latency| latency.p999),
                point.shares.per_second
            )?;
        }
    }
    if !figures.memory.is_empty() {
        writeln!(
            out,
            "\n## Memory of a connection\n\nPrivate pages of the process with all connections, after they mined at 18 shares a \
             minute each, less those before the\nfirst, divided. What the kernel holds for sockets is not in it.\n"
        )?;
        writeln!(
            out,
            "| | connections | mined for | shares | private each | resident each |\n|---|---|---|---|---|---|"
        )?;
        for room in &figures.memory {
            writeln!(
                out,
                "| {} | {} | {:.0} s | {} | {:.2} KB | {:.2} KB |",
                room.kind,
                room.connections,
                room.seconds,
                room.shares,
                room.held.private_per_connection / 1024.0,
                room.held.resident_per_connection / 1024.0
            )?;
        }
    }
    if !figures.logins.is_empty() {
        writeln!(out, "\n## Connect, subscribe, authorize\n")?;
        writeln!(
            out,
            "| storm | clients | a CPU second | a second | p50 | p99 |\n|---|---|---|---|---|---|"
        )?;
        for (number, storm) in figures.logins.iter().enumerate() {
            let at = |of: fn(&Latency) -> f64| ms(storm.latency.as_ref().map(of));
            writeln!(
                out,
                "| {} | {} | {} | {:.0} | {} | {} |",
                if number == 0 { "first" } else { "all came back" },
                storm.ready,
                rate(storm.per_server_cpu_second),
                storm.per_second,
                at(|latency| latency.p50),
                at(|latency| latency.p99)
            )?;
        }
    }
    if !figures.jobs.is_empty() {
        writeln!(
            out,
            "\n## A new block\n\nFrom the template's last byte, written by the node, to the line that each miner read; the median \
             and the worst of all\nblocks. The chain adapter's WebAssembly is in it, and the time in which the generator read \
             the lines.\n"
        )?;
        writeln!(
            out,
            "| miners | blocks | first | median miner | last miner | last miner, worst |\n|---|---|---|---|---|---|"
        )?;
        for jobs in &figures.jobs {
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
    }
    Ok(())
}

fn paths(paths: &[Way], out: &mut String) -> std::fmt::Result {
    let Some(first) = paths.first() else { return Ok(()) };
    writeln!(
        out,
        "\n## Shares a CPU second\n\n{} connections, each with so many shares in a write. Accepted shares are deduplicated, \
         accounted and on disk before\ntheir answer; refused ones miss their target, after coinbase, merkle branch and \
         header were hashed.\n",
        first.shares.connections
    )?;
    writeln!(
        out,
        "| | a write | a CPU second | of the echo loop's | p50 | p99 | CPU of a core |\n|---|---|---|---|---|---|---|"
    )?;
    for way in paths {
        let shares = &way.shares;
        let echo =
            paths.iter().find(|other| other.server == "echo" && other.shares.pipeline == shares.pipeline);
        let floor = echo.and_then(|echo| echo.shares.per_server_cpu_second);
        let part = shares.per_server_cpu_second.zip(floor).map(|(own, floor)| 100.0 * own / floor);
        let name = if way.server == "echo" { "echo loop" } else { &shares.path };
        let at = |of: fn(&Latency) -> f64| ms(shares.latency.as_ref().map(of));
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} |",
            shares.pipeline.unwrap_or(1),
            rate(shares.per_server_cpu_second),
            percent(part),
            at(|latency| latency.p50),
            at(|latency| latency.p99),
            percent(shares.usage.server_cpu_percent)
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

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} ms"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} %"))
}

fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
}
