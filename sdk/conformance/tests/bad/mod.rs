//! Native schemes: some way to divide and to credit, under some terms.
#![allow(dead_code, reason = "each test uses its part")]

use millpond_contracts::payout::{
    Allocation, Batch, Edge, Income, Measure, PayoutScheme, Reversal, Span, State, Terms, Totals, Window,
};
use millpond_contracts::{CallError, Done, Outcome, Settings};
use millpond_types::Digest;
use std::collections::BTreeMap;

pub type Divide = fn(&Income, &[Totals], &State) -> Allocation;
pub type Accrue = fn(&Batch, &State) -> Allocation;

pub struct Bad {
    pub terms: Terms,
    pub divide: Divide,
    pub accrue: Option<Accrue>,
    /// Fuel per row of the first window.
    pub fuel: u64,
    /// Gives an error when there is nobody to pay.
    pub refuses: bool,
}

fn done<T>(value: T, fuel_used: u64) -> Outcome<T> {
    Ok(Done { value, fuel_limit: 1000, fuel_used })
}

impl PayoutScheme for Bad {
    fn digest(&self) -> Digest {
        Digest([5; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done(r#"{"type":"object"}"#.to_owned(), 1)
    }
    fn describe(&self, _: &Settings) -> Outcome<Terms> {
        done(self.terms.clone(), 1)
    }
    fn allocate(&self, _: &Settings, income: &Income, windows: &[Totals], st: &State) -> Outcome<Allocation> {
        if self.refuses && windows[0].miner.is_empty() {
            let (function, message) = ("allocate".to_owned(), "nobody worked".to_owned());
            return Err(CallError::Plugin { function, message });
        }
        let rows = windows.first().map_or(0, |window| window.miner.len() as u64);
        done((self.divide)(income, windows, st), rows * self.fuel)
    }
    fn accrues(&self) -> bool {
        self.accrue.is_some()
    }
    fn accrue(&self, _: &Settings, batch: &Batch, state: &State) -> Outcome<Allocation> {
        done(self.accrue.unwrap()(batch, state), 1)
    }
}

/// One window of work.
pub fn terms(span: Span, claims: &[&str]) -> Terms {
    Terms {
        windows: vec![Window { span, measure: Measure::Work, edge: Edge::Split }],
        claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        ..Terms::default()
    }
}

/// One window of units.
pub fn units(span: Span, claims: &[&str]) -> Terms {
    let mut wanted = terms(span, claims);
    wanted.windows[0].measure = Measure::Units;
    wanted
}

/// Credit per share, a cell for each miner.
pub fn reserve(claims: &[&str]) -> Terms {
    Terms {
        windows: Vec::new(),
        cells: 1,
        batch: 100,
        reversal: Reversal::Keep,
        reserve: true,
        state_format: "fraction".to_owned(),
        ..terms(Span::State, claims)
    }
}

pub fn rows(window: &Totals) -> Vec<(u64, u128)> {
    let sum = |at: usize| u128::from(window.high[at]) << 64 | u128::from(window.low[at]);
    (0..window.miner.len()).map(|at| (window.miner[at], sum(at))).collect()
}

/// A split by cumulative floor that is exact for every weight, as the bundled schemes split.
pub fn exact(gross: u64, rows: &[(u64, u128)]) -> Allocation {
    let amounts = millpond_sdk::cumulative(gross, rows.iter().map(|row| row.1)).unwrap();
    let rest = gross - amounts.iter().sum::<u64>();
    let paid = rows.iter().map(|row| row.0).zip(amounts).filter(|(_, amount)| *amount > 0);
    let (miner, amount) = paid.unzip();
    Allocation { miner, amount, rest, ..Allocation::default() }
}

/// By the first window.
pub fn fair(income: &Income, windows: &[Totals], _: &State) -> Allocation {
    exact(income.gross, &rows(&windows[0]))
}

/// Everything into the reserve.
pub fn nothing(income: &Income, _: &[Totals], _: &State) -> Allocation {
    Allocation { rest: income.gross, ..Allocation::default() }
}

/// What a batch's shares are worth by miner, in 2^-64 units.
pub fn accruing(batch: &Batch) -> BTreeMap<u64, u128> {
    let mut due = BTreeMap::<u64, u128>::new();
    for at in 0..batch.miner.len() {
        let network = u128::from(batch.network_high[at]) << 64 | u128::from(batch.network_low[at]);
        let product = u128::from(batch.reward[at]) * u128::from(batch.work[at]);
        let (whole, rest) = (product / network, product % network);
        let shift = 64_u32.saturating_sub(network.leading_zeros());
        let value = (whole << 64) + ((rest >> shift) << 64) / (network >> shift);
        *due.entry(batch.miner[at]).or_default() += value;
    }
    due
}

/// Credits, with these cells to keep.
pub fn credit(due: impl IntoIterator<Item = (u64, u128)>, kept: Vec<(u64, u64)>) -> Allocation {
    let paid = due.into_iter().filter(|row| row.1 > 0).map(|row| (row.0, row.1 as u64));
    let (miner, amount) = paid.unzip();
    let (names, cells) = kept.into_iter().unzip();
    let state = State { memo: Vec::new(), miner: names, cells };
    Allocation { miner, amount, state, ..Allocation::default() }
}
