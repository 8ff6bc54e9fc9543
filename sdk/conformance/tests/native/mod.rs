//! A scheme of the SDK, run natively as a scheme of the contract.

use millpond_contracts::payout::{self as contract, PayoutScheme};
use millpond_contracts::{CallError, Done, Outcome, Setting, Settings};
use millpond_sdk::payout as sdk;
use millpond_types::Digest;
use std::marker::PhantomData;

pub struct Native<S>(Digest, PhantomData<fn() -> S>);

impl<S> Native<S> {
    pub fn new(digest: Digest) -> Self {
        Self(digest, PhantomData)
    }
}

fn done<T>(value: Result<T, String>) -> Outcome<T> {
    let error = |message| CallError::Plugin { function: "native".to_owned(), message };
    value.map(|value| Done { value, fuel_limit: 1, fuel_used: 1 }).map_err(error)
}

fn settings(given: &Settings) -> sdk::Settings {
    let value = |setting: &Setting| match setting {
        Setting::Flag(flag) => sdk::Setting::Flag(*flag),
        Setting::Int(number) => sdk::Setting::Int(*number),
        Setting::Text(text) => sdk::Setting::Text(text.clone()),
    };
    given.iter().map(|(key, setting)| (key.clone(), value(setting))).collect()
}

fn window(given: sdk::Window) -> contract::Window {
    let span = match given.span {
        sdk::Span::Round => contract::Span::Round,
        sdk::Span::Finder => contract::Span::Finder,
        sdk::Span::Shares(count) => contract::Span::Shares(count),
        sdk::Span::Work(thousandths) => contract::Span::Work(thousandths),
        sdk::Span::Millis(millis) => contract::Span::Millis(millis),
        sdk::Span::Coord(steps) => contract::Span::Coord(steps),
        sdk::Span::State => contract::Span::State,
    };
    let measure = match given.measure {
        sdk::Measure::Work => contract::Measure::Work,
        sdk::Measure::Units => contract::Measure::Units,
    };
    let edge = match given.edge {
        sdk::Edge::Whole => contract::Edge::Whole,
        sdk::Edge::Split => contract::Edge::Split,
        sdk::Edge::Cut => contract::Edge::Cut,
    };
    contract::Window { span, measure, edge }
}

impl<S: sdk::Scheme> PayoutScheme for Native<S> {
    fn digest(&self) -> Digest {
        self.0
    }
    fn schema(&self) -> Outcome<String> {
        done(Ok(S::schema()))
    }
    fn describe(&self, given: &Settings) -> Outcome<contract::Terms> {
        done(S::describe(settings(given)).map(|terms| contract::Terms {
            windows: terms.windows.into_iter().map(window).collect(),
            cells: terms.cells,
            batch: terms.batch,
            reversal: match terms.reversal {
                sdk::Reversal::Drop => contract::Reversal::Drop,
                sdk::Reversal::Restore => contract::Reversal::Restore,
                sdk::Reversal::Keep => contract::Reversal::Keep,
            },
            reserve: terms.reserve,
            claims: terms.claims,
            state_format: terms.state_format,
            ..contract::Terms::default()
        }))
    }
    fn allocate(
        &self,
        given: &Settings,
        income: &contract::Income,
        windows: &[contract::Totals],
        state: &contract::State,
    ) -> Outcome<contract::Allocation> {
        let contract::Income { key, gross, seq, time_ms, coord, finder, .. } = income.clone();
        let income = sdk::Income { key, gross, seq, time_ms, coord, finder };
        let totals = |totals: &contract::Totals| {
            let contract::Totals { miner, low, high } = totals.clone();
            sdk::Totals { miner, low, high }
        };
        let contract::State { memo, miner, cells } = state.clone();
        let state = sdk::State { memo, miner, cells };
        let given = S::allocate(settings(given), income, windows.iter().map(totals).collect(), state);
        done(given.map(|sdk::Allocation { miner, amount, rest, state }| {
            let sdk::State { memo, miner: names, cells } = state;
            let state = contract::State { memo, miner: names, cells };
            contract::Allocation { miner, amount, rest, state, ..contract::Allocation::default() }
        }))
    }
    fn accrues(&self) -> bool {
        false
    }
    fn accrue(
        &self,
        _: &Settings,
        _: &contract::Batch,
        _: &contract::State,
    ) -> Outcome<contract::Allocation> {
        done(Err("it takes no shares".to_owned()))
    }
}
