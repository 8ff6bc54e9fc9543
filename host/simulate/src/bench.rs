//! How many shares a second schemes take: natively, and as components in batches of several sizes.

use crate::SimulateError;
use crate::plugins::{How, Plugins};
use crate::run::chains;
use crate::scenario::Scenario;
use serde::Serialize;
use std::num::NonZeroU32;
use std::time::Instant;

/// A way to run, and how fast it was. One share that one scheme takes is a share-step.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    /// The schemes.
    pub schemes: Vec<String>,
    /// Native code, or the component.
    pub how: &'static str,
    /// Rows of a batch of shares.
    pub rows: u32,
    /// Shares that were simulated.
    pub shares: u64,
    /// Of the thread's processor time, where the system tells it, else of the clock.
    pub seconds: f64,
    /// Shares a second.
    pub shares_per_second: f64,
    /// Share-steps a second.
    pub steps_per_second: f64,
    /// Native code and component gave the same bytes on this stream; where both were asked.
    pub same: Option<bool>,
}

/// The five of the goal: two windows of work, one of the round, one with a finder, one that takes every share.
const SCHEMES: [&str; 5] = ["prop", "pplns", "tides", "finder-bonus", "pps"];
const BLOCK: u64 = 100_000;

/// Seconds of a tick, in which Linux counts for programs whatever its own clock is.
const TICK: f64 = 0.01;

/// This thread's ticks so far, in user and kernel mode; a busy machine takes longer and not more of them.
fn ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    // After the name, which may hold anything, from the third field on.
    let mut fields = stat.get(stat.rfind(')')?..)?.split_whitespace().skip(12);
    let mut next = || fields.next()?.parse::<u64>().ok();
    next()?.checked_add(next()?)
}

fn scenario(schemes: &[&str], shares: u64, rows: u32) -> Result<Scenario, SimulateError> {
    let blocks = shares.div_ceil(BLOCK).max(1);
    let mut text = format!(
        "title = \"speed\"\nseed = 1\nreplications = 1\nblocks = {blocks}\nbatch = 1\n[network]\nwork = {BLOCK}\n\
         [reward]\nsubsidy = 312500000\n[[miners]]\nname = \"all\"\ncount = 100\nhashrate = 100000\n"
    );
    for scheme in schemes {
        text.push_str(&format!("[[scheme]]\nplugin = \"{scheme}\"\n"));
    }
    let mut scenario = Scenario::parse(&text)?;
    scenario.rows = NonZeroU32::new(rows);
    Ok(scenario)
}

fn speed(
    plugins: &Plugins,
    schemes: &[&str],
    how: How,
    shares: u64,
    rows: u32,
) -> Result<Speed, SimulateError> {
    let scenario = scenario(schemes, shares, rows)?;
    let (begun, ticks) = (Instant::now(), ticks());
    let played = crate::run::timed(&scenario, plugins, how)?;
    let spent = crate::bench::ticks().zip(ticks).map(|(after, before)| after.saturating_sub(before).max(1));
    let seconds = spent.map_or_else(|| begun.elapsed().as_secs_f64(), |ticks| ticks as f64 * TICK);
    let per_second = played as f64 / seconds;
    Ok(Speed {
        schemes: schemes.iter().map(|scheme| (*scheme).to_owned()).collect(),
        how: if how == How::Wasm { "component" } else { "native" },
        rows,
        shares: played,
        seconds,
        shares_per_second: per_second,
        steps_per_second: per_second * schemes.len() as f64,
        same: None,
    })
}

/// Measures on one thread, `shares` shares each, and a quarter of them for components: five schemes at once and each alone
/// natively, and by components in batches of 1,000, 10,000 and 65,000 rows. `progress` hears what comes next.
///
/// # Errors
/// As [`crate::run`].
pub fn speeds(
    plugins: &Plugins,
    shares: u64,
    mut progress: impl FnMut(&str, usize, usize),
) -> Result<Vec<Speed>, SimulateError> {
    const ROWS: u32 = 10_000;
    let mut plan: Vec<(Vec<&str>, How, u32)> = vec![(SCHEMES.to_vec(), How::Native, ROWS)];
    plan.extend(SCHEMES.map(|scheme| (vec![scheme], How::Native, ROWS)));
    plan.extend([1_000, ROWS, 65_000].map(|rows| (SCHEMES.to_vec(), How::Wasm, rows)));
    plan.extend([1_000, ROWS, 65_000].map(|rows| (vec!["pps"], How::Wasm, rows)));
    let mut all = Vec::new();
    let steps = plan.len().saturating_add(1);
    for (done, (schemes, how, rows)) in plan.iter().enumerate() {
        let name = if schemes.len() > 1 { "five schemes" } else { schemes.first().copied().unwrap_or("") };
        let as_what = if *how == How::Wasm { "as components" } else { "natively" };
        progress(&format!("{name} {as_what}, batches of {rows}"), done, steps);
        let shares = if *how == How::Wasm { shares / 4 } else { shares };
        all.push(speed(plugins, schemes, *how, shares, *rows)?);
    }
    progress("the same bytes", plan.len(), steps);
    for rows in [1_000, ROWS, 65_000] {
        let same = chains(&scenario(&SCHEMES, BLOCK.saturating_mul(4), rows)?, plugins, How::Both)?
            .iter()
            .all(|(_, native, component)| native.is_some() && native == component);
        for speed in all.iter_mut().filter(|speed| speed.rows == rows && speed.how == "component") {
            speed.same = Some(same);
        }
    }
    Ok(all)
}
