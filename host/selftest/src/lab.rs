//! What rows are run with: streams in parts, and schemes that are called as a pool calls them.

use millpond_contracts::payout::{Allocation, Batch, Income, State, Terms, Totals};
use millpond_contracts::{CallError, Settings};
use millpond_native::OwnedCalls;
use millpond_statistics::{Merge, in_order};
use millpond_stream::{Key, WeightsError};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parts of every run. Their number is part of every figure's bytes.
const PARTS: u64 = 64;

/// What incomes are: so large that rounding down to a unit is nothing beside any σ here.
pub(crate) const REWARD: u64 = 1_000_000_000_000_000;

/// Why there is no table.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// A row that is none.
    #[error("there is no row {name:?}: the rows are {rows}")]
    NoRow {
        /// What was asked for.
        name: String,
        /// What there is.
        rows: String,
    },
    /// The machine gives no such number of threads.
    #[error("{threads} threads cannot be started: {message}")]
    Threads {
        /// So many; 0 for one on each processor.
        threads: usize,
        /// The machine's reason.
        message: String,
    },
    /// A row gives another number of estimates than it has figures.
    #[error("row {row} does not measure what it says")]
    Figures {
        /// Which.
        row: String,
    },
    /// A scheme's own error, or a trap.
    #[error("{scheme}: {error}")]
    Call {
        /// Which scheme.
        scheme: String,
        /// What it said.
        error: CallError,
    },
    /// A scheme that is not bundled.
    #[error("no scheme {0:?} is bundled as native code")]
    NoScheme(String),
    /// A scheme's parts do not add up.
    #[error("{scheme} gave {given} and kept {rest} of an income of {gross}")]
    Lost {
        /// Which scheme.
        scheme: String,
        /// The income.
        gross: u64,
        /// The sum of what miners got.
        given: u128,
        /// What was left.
        rest: u64,
    },
    /// Weights that make no table.
    #[error("weights of a draw: {0}")]
    Weights(#[from] WeightsError),
    /// A probability that nothing can be drawn by.
    #[error("a tilted draw: {0}")]
    Tilt(#[from] millpond_stream::TiltError),
    /// The table cannot be said in JSON.
    #[error("the table is no JSON: {0}")]
    Json(String),
}

/// Where rows are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lab {
    seed: u64,
}

impl Lab {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Takes samples in parts, each with a key of its own; `streams` is the row's own number. In order of the parts.
    pub(crate) fn parts<T: Send>(
        &self,
        streams: u64,
        samples: u64,
        run: impl Fn(Key, u64) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let part = |part: u64| {
            let key = Key { seed: self.seed, replication: streams << 32 | part };
            run(key, samples / PARTS + u64::from(part < samples % PARTS))
        };
        (0..PARTS).into_par_iter().map(part).collect()
    }

    /// The same, merged to one.
    pub(crate) fn merged<T: Merge + Send>(
        &self,
        streams: u64,
        samples: u64,
        run: impl Fn(Key, u64) -> Result<T, Failure> + Sync,
    ) -> Result<T, Failure> {
        let merged = in_order(self.parts(streams, samples, run)?);
        merged.ok_or_else(|| Failure::Figures { row: streams.to_string() })
    }
}

/// A bundled scheme under settings.
pub(crate) struct Scheme {
    name: &'static str,
    scheme: Arc<dyn OwnedCalls>,
    settings: Settings,
    terms: Terms,
}

impl Scheme {
    pub(crate) fn new(name: &'static str, settings: Settings) -> Result<Self, Failure> {
        let scheme = millpond_native::owned(name).ok_or_else(|| Failure::NoScheme(name.to_owned()))?;
        let terms = scheme.describe(&settings);
        let terms = terms.map_err(|error| Failure::Call { scheme: name.to_owned(), error })?.value;
        Ok(Self { name, scheme, settings, terms })
    }

    pub(crate) const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Divides an income over windows; what is given and kept must be the income.
    pub(crate) fn allocate(
        &self,
        gross: u64,
        finder: Option<u64>,
        windows: Vec<Totals>,
    ) -> Result<Allocation, Failure> {
        let income = Income { key: vec![0; 8], gross, seq: 1, coord: 1, finder, ..Income::default() };
        let given = self.scheme.allocate_owned(&self.settings, income, windows, State::default());
        let given = given.map_err(|error| self.failed(error))?.value;
        let sum = given.amount.iter().map(|amount| u128::from(*amount)).sum::<u128>();
        if sum + u128::from(given.rest) != u128::from(gross) {
            let (scheme, rest) = (self.name.to_owned(), given.rest);
            return Err(Failure::Lost { scheme, gross, given: sum, rest });
        }
        Ok(given)
    }

    /// Pays what is owed out of an income and a reserve that suffices.
    pub(crate) fn owed(&self, gross: u64, state: State) -> Result<Allocation, Failure> {
        let reserve = u64::MAX >> 1;
        let income = Income { key: vec![0; 8], gross, seq: 1, coord: 1, reserve, ..Income::default() };
        let given = self.scheme.allocate_owned(&self.settings, income, Vec::new(), state);
        let given = given.map_err(|error| self.failed(error))?.value;
        let sum =
            given.amount.iter().chain([&given.operator]).map(|amount| u128::from(*amount)).sum::<u128>();
        let of = u128::from(gross) + u128::from(given.from_reserve);
        if sum + u128::from(given.rest) + u128::from(given.to_reserve) != of {
            let (scheme, rest) = (self.name.to_owned(), given.rest);
            return Err(Failure::Lost { scheme, gross, given: sum, rest });
        }
        Ok(given)
    }

    /// Takes shares.
    pub(crate) fn accrue(&self, batch: Batch, state: State) -> Result<Allocation, Failure> {
        let given = self.scheme.accrue_owned(&self.settings, batch, state);
        given.map(|done| done.value).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: CallError) -> Failure {
        Failure::Call { scheme: self.name.to_owned(), error }
    }
}

/// What a pool keeps for a scheme.
#[derive(Default)]
pub(crate) struct Kept {
    memo: Vec<u8>,
    rows: BTreeMap<u64, Vec<u64>>,
}

impl Kept {
    pub(crate) fn state(&self) -> State {
        let cells = self.rows.values().flatten().copied().collect();
        State { memo: self.memo.clone(), miner: self.rows.keys().copied().collect(), cells }
    }

    /// What a call gets that is about one miner who was there before.
    pub(crate) fn of(&self, miner: u64) -> State {
        let rows = || self.rows.get(&miner);
        let cells = rows().cloned().unwrap_or_default();
        State { memo: self.memo.clone(), miner: rows().map(|_| miner).into_iter().collect(), cells }
    }

    /// Takes what a call gave to keep.
    pub(crate) fn keep(&mut self, given: &State, terms: &Terms) {
        if !given.memo.is_empty() {
            self.memo.clone_from(&given.memo);
        }
        let width = usize::from(terms.cells).max(1);
        for (miner, cells) in given.miner.iter().zip(given.cells.chunks_exact(width)) {
            self.rows.insert(*miner, cells.to_vec());
        }
    }

    /// Drops a miner whom no figure needs any more.
    pub(crate) fn forget(&mut self, miner: u64) {
        self.rows.remove(&miner);
    }
}

/// A window of these miners, in ascending order; who has nothing in it is left out.
pub(crate) fn window(rows: &[(u64, u128)]) -> Totals {
    let rows = || rows.iter().filter(|row| row.1 > 0);
    Totals {
        miner: rows().map(|row| row.0).collect(),
        low: rows().map(|row| row.1 as u64).collect(),
        high: rows().map(|row| (row.1 >> 64) as u64).collect(),
    }
}

/// What a miner was given.
pub(crate) fn paid(given: &Allocation, miner: u64) -> u64 {
    let at = given.miner.binary_search(&miner).ok();
    at.and_then(|at| given.amount.get(at)).copied().unwrap_or(0)
}
