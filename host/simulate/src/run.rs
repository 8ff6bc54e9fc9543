//! Replications, side by side, put together in their order.

use crate::hashrate::Miner;
use crate::network::{greatest, mean_reward};
use crate::plugins::{How, Loaded, Plugins};
use crate::production::Production;
use crate::result::{self, Outcome};
use crate::runner::{Ages, Block, Books, Chunk, Contract, Runner};
use crate::scenario::{Mode, Scenario};
use crate::tally::{BatchTally, Work, by_class};
use crate::{SimulateError, rounds, shares};
use millpond_stream::Key;
use millpond_types::Digest;
use millpond_windows::Row;
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// One of so many replications runs on the production path, too.
const PRODUCTION: u64 = 64;

/// All who are fed with the same shares.
pub(crate) struct Players {
    replication: u64,
    classes: usize,
    /// What all miners together may expect of a batch.
    expected: f64,
    /// The figures are theirs.
    figures: Vec<Contract>,
    /// The same schemes as components, where both are asked for.
    twins: Vec<Contract>,
    production: Vec<Production>,
    names: Vec<String>,
    /// By scheme and miner, where there is a production path to compare with.
    totals: Vec<Vec<u128>>,
    rows: u64,
    done: Replication,
}

/// What a replication came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replication {
    /// By scheme: what the operator had when the measures began.
    pub(crate) operator: Vec<i128>,
    pub(crate) batches: Vec<BatchTally>,
    pub(crate) ends: Vec<SchemeEnd>,
    /// Whether the production path gave the same.
    pub(crate) production: bool,
}

/// How a scheme ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemeEnd {
    pub(crate) books: Books,
    pub(crate) ages: Ages,
    pub(crate) missed: Option<u64>,
    pub(crate) rows: u64,
    pub(crate) digest: Option<Digest>,
    pub(crate) twin: Option<Digest>,
}

impl Players {
    fn new(
        scenario: &Scenario,
        loaded: &[Loaded],
        twins: &[Loaded],
        replication: u64,
        digests: bool,
    ) -> Result<Self, SimulateError> {
        let miners = scenario.miners.iter().map(|class| class.count.get() as usize).sum();
        let greatest = greatest(scenario);
        let contract = |(scheme, section): (&Loaded, &crate::SchemeSection)| {
            let rows = scenario.rows.map(std::num::NonZeroU32::get);
            Contract::new(scheme, miners, greatest, section.fee, rows, digests || !twins.is_empty())
        };
        let checked = replication.checked_rem(PRODUCTION) == Some(0);
        let production: Result<Vec<_>, _> = loaded
            .iter()
            .filter(|_| checked)
            .map(|scheme| {
                Production::new(scheme, miners, greatest, scenario.rows.map(std::num::NonZeroU32::get))
            })
            .collect();
        let production = production?;
        Ok(Self {
            replication,
            classes: scenario.miners.len(),
            expected: scenario.batch.get() as f64 * mean_reward(scenario),
            figures: loaded.iter().zip(&scenario.scheme).map(contract).collect::<Result<_, _>>()?,
            twins: twins.iter().zip(&scenario.scheme).map(contract).collect::<Result<_, _>>()?,
            names: loaded.iter().map(|scheme| scheme.name.clone()).collect(),
            totals: vec![vec![0; miners]; production.len()],
            production,
            rows: 0,
            done: Replication::default(),
        })
    }

    fn all(&mut self) -> impl Iterator<Item = &mut dyn Runner> {
        let figures = self.figures.iter_mut().map(|runner| runner as &mut dyn Runner);
        let twins = self.twins.iter_mut().map(|runner| runner as &mut dyn Runner);
        figures.chain(twins).chain(self.production.iter_mut().map(|runner| runner as &mut dyn Runner))
    }

    pub(crate) fn shares(&mut self, chunk: &Chunk) -> Result<(), SimulateError> {
        self.rows = self.rows.saturating_add(chunk.rows.len() as u64);
        self.all().try_for_each(|runner| runner.shares(chunk))
    }

    pub(crate) fn many(&mut self, row: &Row, count: u64) -> Result<(), SimulateError> {
        self.rows = self.rows.saturating_add(count);
        self.all().try_for_each(|runner| runner.many(row, count))
    }

    pub(crate) fn block(&mut self, block: &Block) -> Result<(), SimulateError> {
        self.all().try_for_each(|runner| runner.block(block))
    }

    /// Refuses schemes that whole rounds are not enough for.
    pub(crate) fn check_rounds(&self) -> Result<(), SimulateError> {
        for (runner, name) in self.figures.iter().zip(&self.names) {
            let message = if runner.takes_shares() {
                "it credits shares one by one, and whole rounds are not what a pool would hand it"
            } else if !runner.needs_no_order() {
                "its window looks beyond the round"
            } else {
                continue;
            };
            let message = format!("{message}: take mode = \"shares\", or leave the scheme out");
            return Err(SimulateError::scenario(format!("scheme {name}"), message));
        }
        Ok(())
    }

    /// Takes what was paid, and sets it back to 0.
    fn take(&mut self, miners: &[Miner]) -> Result<Vec<Vec<crate::tally::ClassPaid>>, SimulateError> {
        self.all().try_for_each(Runner::settle)?;
        let mut all = Vec::with_capacity(self.figures.len());
        for (at, runner) in self.figures.iter_mut().enumerate() {
            let paid = runner.paid();
            all.push(by_class(miners, self.classes, paid, self.expected));
            if let Some(totals) = self.totals.get_mut(at) {
                totals.iter_mut().zip(&*paid).for_each(|(total, paid)| *total = total.saturating_add(*paid));
            }
            paid.iter_mut().for_each(|paid| *paid = 0);
        }
        Ok(all)
    }

    fn operator(&self) -> Vec<i128> {
        self.figures.iter().map(|runner| runner.books.operator).collect()
    }

    /// What is measured begins here.
    pub(crate) fn begin(&mut self, miners: &[Miner]) -> Result<(), SimulateError> {
        self.take(miners)?;
        self.figures.iter_mut().for_each(Contract::begin);
        self.rows = 0;
        self.done.operator = self.operator();
        Ok(())
    }

    pub(crate) fn end_of_batch(&mut self, miners: &[Miner], work: Work) -> Result<(), SimulateError> {
        let paid = self.take(miners)?;
        let operator = self.operator();
        self.done.batches.push(BatchTally { work, paid, operator });
        Ok(())
    }

    /// Compares with the production path where there is one.
    pub(crate) fn finish(mut self) -> Result<Replication, SimulateError> {
        self.done.production = !self.production.is_empty();
        for (at, production) in self.production.iter_mut().enumerate() {
            let incomes = self.figures.get(at).map_or(0, |runner| runner.books.incomes);
            let totals = self.totals.get(at).map_or(&[][..], Vec::as_slice);
            for (miner, (simulated, paid)) in totals.iter().zip(production.paid()).enumerate() {
                // Names decide who gets the units that rounding leaves: one of each income.
                if simulated.abs_diff(*paid) > u128::from(incomes) {
                    return Err(SimulateError::Differs {
                        name: self.names.get(at).cloned().unwrap_or_default(),
                        replication: self.replication,
                        miner,
                        production: *paid,
                        simulated: *simulated,
                        incomes,
                    });
                }
            }
        }
        let end = |(at, runner): (usize, &Contract)| SchemeEnd {
            books: runner.books,
            ages: runner.ages,
            missed: runner.missed(),
            rows: self.rows,
            digest: runner.digest(),
            twin: self.twins.get(at).and_then(Contract::digest),
        };
        self.done.ends = self.figures.iter().enumerate().map(end).collect();
        Ok(self.done)
    }
}

/// Digests of all that a scheme gave, by its name: as native code and as component.
pub type Chains = Vec<(String, Option<Digest>, Option<Digest>)>;

/// Plays a scenario. `threads` 0 takes as many as there are processors. `progress` hears how many replications are done.
///
/// # Errors
/// What is wrong with the scenario or a scheme; the first of all replications that failed, in their order.
pub fn run(
    scenario: &Scenario,
    plugins: &Plugins,
    how: How,
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Outcome, SimulateError> {
    let (loaded, replications) = play(scenario, plugins, how, threads, false, progress)?;
    result::outcome(scenario, &loaded, &replications)
}

/// What each scheme's calls gave in the first replication.
///
/// # Errors
/// As [`run`].
pub fn chains(scenario: &Scenario, plugins: &Plugins, how: How) -> Result<Chains, SimulateError> {
    let mut one = scenario.clone();
    one.replications = std::num::NonZeroU64::MIN;
    let (loaded, replications) = play(&one, plugins, how, 1, true, &|_, _| {})?;
    let ends = replications.first().map_or(&[][..], |replication| replication.ends.as_slice());
    Ok(loaded.iter().zip(ends).map(|(scheme, end)| (scheme.name.clone(), end.digest, end.twin)).collect())
}

/// Plays one replication without the production path, on this thread. How many shares it had.
pub(crate) fn timed(scenario: &Scenario, plugins: &Plugins, how: How) -> Result<u64, SimulateError> {
    let loaded: Result<Vec<_>, _> =
        scenario.scheme.iter().map(|section| plugins.load(scenario, section, how != How::Wasm)).collect();
    // One that is not a multiple of those that the production path runs, too.
    let replication = 1;
    let players = Players::new(scenario, &loaded?, &[], replication, false)?;
    let played = shares::play(scenario, Key { seed: scenario.seed, replication }, players)?;
    Ok(played.ends.first().map_or(0, |end| end.rows))
}

fn play(
    scenario: &Scenario,
    plugins: &Plugins,
    how: How,
    threads: usize,
    digests: bool,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(Vec<Loaded>, Vec<Replication>), SimulateError> {
    let load = |native: bool| -> Result<Vec<Loaded>, SimulateError> {
        scenario.scheme.iter().map(|section| plugins.load(scenario, section, native)).collect()
    };
    let loaded = load(how != How::Wasm)?;
    let twins = if how == How::Both { load(false)? } else { Vec::new() };
    let all = scenario.replications.get();
    let done = AtomicU64::new(0);
    let one = |replication: u64| {
        let key = Key { seed: scenario.seed, replication };
        let players = Players::new(scenario, &loaded, &twins, replication, digests)?;
        let played = match scenario.mode {
            Mode::Shares => shares::play(scenario, key, players),
            Mode::Rounds => rounds::play(scenario, key, players),
        };
        progress(done.fetch_add(1, Ordering::Relaxed).saturating_add(1), all);
        played
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| SimulateError::Threads(threads, error.to_string()))?;
    // All of them, so that the first error is the same one whoever is ready first.
    let played: Vec<Result<Replication, SimulateError>> =
        pool.install(|| (0..all).into_par_iter().map(one).collect());
    let replications = played.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok((loaded, replications))
}
