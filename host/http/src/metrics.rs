//! Metrics in Prometheus' text format, version 0.0.4.

use millpond_alerts::{Alarm, Level};
use millpond_pool::view::{ContextsView, PoolView, ShadowView, StratumCounters};
use std::fmt::Write as _;

type Reading = (&'static str, &'static str, &'static str, fn(&PoolView) -> Vec<(String, f64)>);

fn one(value: f64) -> Vec<(String, f64)> {
    vec![(String::new(), value)]
}

fn of(amount: millpond_types::Amount) -> Vec<(String, f64)> {
    one(amount.0 as f64)
}

fn shadows(pool: &PoolView, value: fn(&ShadowView) -> f64) -> Vec<(String, f64)> {
    let one = |shadow: &ShadowView| (format!(",shadow=\"{}\"", escaped(&shadow.name)), value(shadow));
    pool.shadows.iter().map(one).collect()
}

const READINGS: &[Reading] = &[
    ("millpond_ready", "gauge", "1 when the pool serves miners", |p| {
        one(f64::from(u8::from(p.not_ready.is_empty())))
    }),
    ("millpond_coord", "gauge", "Height or score of the current job", |p| one(p.coord as f64)),
    ("millpond_connections", "gauge", "Open miner connections", |p| one(p.connections as f64)),
    ("millpond_unread_connections", "gauge", "Miner connections that do not read", |p| {
        one(p.unread.connections as f64)
    }),
    (
        "millpond_unread_bytes",
        "gauge",
        "Bytes held for connections that do not read, beside the kernel's",
        |p| one(p.unread.bytes as f64),
    ),
    ("millpond_job_bodies_bytes", "gauge", "Bytes of the node's answers that jobs keep", |p| {
        vec![
            (",kept=\"whole\"".into(), p.bodies.whole as f64),
            (",kept=\"pieces\"".into(), p.bodies.pieces as f64),
        ]
    }),
    ("millpond_hashrate", "gauge", "Hashes a second, by window", |p| {
        vec![
            (",window=\"5m\"".into(), p.hashrate.five_minutes),
            (",window=\"1h\"".into(), p.hashrate.hour),
            (",window=\"1d\"".into(), p.hashrate.day),
        ]
    }),
    ("millpond_shares_total", "counter", "Shares since the start, by result", |p| {
        vec![
            (",result=\"accepted\"".into(), p.shares.accepted as f64),
            (",result=\"stale\"".into(), p.shares.stale as f64),
            (",result=\"duplicate\"".into(), p.shares.duplicate as f64),
            (",result=\"low_difficulty\"".into(), p.shares.low_difficulty as f64),
            (",result=\"invalid\"".into(), p.shares.invalid as f64),
        ]
    }),
    ("millpond_effort_percent", "gauge", "Work of the round over the network's, 100 is par", |p| {
        one(p.effort_percent)
    }),
    ("millpond_blocks", "gauge", "Incomes of blocks in the ledger, lost ones too", |p| one(p.blocks as f64)),
    ("millpond_income_base_units", "gauge", "Matured income", |p| of(p.money.income)),
    ("millpond_credited_base_units", "gauge", "Credited to miners, paid or not", |p| of(p.money.credited)),
    ("millpond_fees_base_units", "gauge", "The pool's fees", |p| of(p.money.fees)),
    ("millpond_paid_base_units", "gauge", "Paid to miners", |p| of(p.money.paid)),
    ("millpond_immature_base_units", "gauge", "Income that is not mature", |p| of(p.money.immature)),
    ("millpond_conserved", "gauge", "1 while income = credited + fees + carried, to the unit", |p| {
        one(f64::from(u8::from(p.money.conserved)))
    }),
    ("millpond_disk_days_left", "gauge", "Days until the disk is full at the present rate", |p| {
        p.disk_days_left.map_or_else(Vec::new, one)
    }),
    ("millpond_journal_bytes", "gauge", "Size of the journal", |p| one(p.journal_bytes as f64)),
    ("millpond_shares_dropped_to", "gauge", "Number of the last share that retention dropped", |p| {
        one(p.shares_dropped_to as f64)
    }),
    ("millpond_shadow_incomes", "gauge", "Incomes that a policy in shadow divided", |p| {
        shadows(p, |shadow| shadow.incomes as f64)
    }),
    ("millpond_shadow_newest_share", "gauge", "The share up to which a policy in shadow has divided", |p| {
        shadows(p, |shadow| shadow.newest as f64)
    }),
    ("millpond_shadow_stopped", "gauge", "1 when a policy in shadow was stopped by an error", |p| {
        shadows(p, |shadow| f64::from(u8::from(shadow.why.is_some())))
    }),
    (
        "millpond_policy_next_seconds",
        "gauge",
        "From when on another policy takes over, where one is announced",
        |p| p.policy.next.iter().map(|next| (String::new(), next.not_before.0 as f64 / 1_000.0)).collect(),
    ),
    ("millpond_pow_batches_total", "counter", "Batches for the adapter's own algorithms", |p| {
        one(p.pow.batches as f64)
    }),
    ("millpond_pow_instances_total", "counter", "Instances made for them", |p| one(p.pow.instances as f64)),
    ("millpond_pow_prepared_total", "counter", "Keys prepared in these instances", |p| {
        one(p.pow.prepared as f64)
    }),
    (
        "millpond_pow_again_total",
        "counter",
        "Batches that failed in a kept instance, done again in a new one",
        |p| one(p.pow.again as f64),
    ),
    (
        "millpond_pow_checked_total",
        "counter",
        "Batches held against a new instance that came to the same",
        |p| one(p.pow.checked as f64),
    ),
    ("millpond_pow_idle_instances", "gauge", "Instances that wait for a batch", |p| one(p.pow.idle as f64)),
    ("millpond_pow_stateful", "gauge", "1 when an algorithm's results depend on earlier ones", |p| {
        one(f64::from(u8::from(p.pow.stateful)))
    }),
    ("millpond_plugin_info", "gauge", "Plugins in use; 1 when running", |p| {
        p.plugins
            .iter()
            .map(|plugin| {
                let labels = format!(
                    ",role=\"{}\",plugin=\"{}\",digest=\"{}\"",
                    escaped(&plugin.role),
                    escaped(&plugin.name),
                    plugin.digest.short()
                );
                (labels, f64::from(u8::from(plugin.state == "running")))
            })
            .collect()
    }),
];

/// Counters that are shares by what became of them: one metric, with the counter's name as its label.
const RESULTS: &[&str] = &[
    "accepted",
    "unknown_job",
    "stale",
    "duplicate",
    "low_difficulty",
    "malformed",
    "unauthorized",
    "not_subscribed",
    "suspended",
    "not_durable",
    "unjudged",
];

/// What the ports of all pools counted: `millpond_stratum_shares_total` by result, and every other counter under its
/// own name, `millpond_stratum_<name>_total`.
fn stratum(pools: &[PoolView], out: &mut String) {
    const SHARES: &str = "millpond_stratum_shares_total";
    let _ = writeln!(out, "# HELP {SHARES} Shares at the ports, by result\n# TYPE {SHARES} counter");
    for pool in pools {
        let name = escaped(&pool.name);
        for counter in pool.stratum.all().iter().filter(|counter| RESULTS.contains(&counter.name)) {
            let _ =
                writeln!(out, "{SHARES}{{pool=\"{name}\",result=\"{}\"}} {}", counter.name, counter.value);
        }
    }
    for (at, counter) in StratumCounters::default().all().iter().enumerate() {
        if RESULTS.contains(&counter.name) {
            continue;
        }
        let name = format!("millpond_stratum_{}_total", counter.name);
        let about = counter.about.trim_end_matches('.');
        let _ = writeln!(out, "# HELP {name} {about}\n# TYPE {name} counter");
        for pool in pools {
            let value = pool.stratum.all().get(at).map_or(0, |counter| counter.value);
            let _ = writeln!(out, "{name}{{pool=\"{}\"}} {value}", escaped(&pool.name));
        }
    }
}

/// What is kept of prepared keys.
fn contexts(of: &ContextsView, out: &mut String) {
    let figures = of.figures;
    let readings = [
        ("millpond_contexts", "gauge", "Prepared keys of algorithms that are kept", figures.contexts as f64),
        ("millpond_context_bytes", "gauge", "Bytes of prepared keys that are kept", figures.bytes as f64),
        ("millpond_context_limit_bytes", "gauge", "Bytes that prepared keys may have", of.limit as f64),
        ("millpond_context_builds_total", "counter", "Keys that had to be prepared", figures.misses as f64),
        ("millpond_context_hits_total", "counter", "Keys that were prepared already", figures.hits as f64),
        (
            "millpond_context_evictions_total",
            "counter",
            "Prepared keys that were forgotten for others",
            figures.evicted as f64,
        ),
    ];
    for (name, kind, help, value) in readings {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{of=\"native\"}} {value}");
    }
}

/// All pools' metrics as text.
#[must_use]
pub fn render(pools: &[PoolView], prepared: &ContextsView, alarms: &[Alarm]) -> String {
    let mut out = String::new();
    contexts(prepared, &mut out);
    stratum(pools, &mut out);
    for (name, kind, help, read) in READINGS {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for pool in pools {
            for (labels, value) in read(pool) {
                let _ = writeln!(out, "{name}{{pool=\"{}\"{labels}}} {value}", escaped(&pool.name));
            }
        }
    }
    let _ = writeln!(out, "# HELP millpond_alarms Alarms kept, by level\n# TYPE millpond_alarms gauge");
    for (level, name) in [(Level::Warning, "warning"), (Level::Critical, "critical")] {
        let count = alarms.iter().filter(|alarm| alarm.level == level).count();
        let _ = writeln!(out, "millpond_alarms{{level=\"{name}\"}} {count}");
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
