//! Between the contract's types and those of the SDK for 0.1, field by field. What a version of before does not know is
//! nothing to it, as for its component. Columns are moved.

use millpond_contracts::payout as host;
use millpond_contracts::{Setting, Settings};
use millpond_sdk::payout as guest;

pub(crate) fn settings(settings: &Settings) -> guest::Settings {
    let value = |value: &Setting| match value {
        Setting::Flag(flag) => guest::Setting::Flag(*flag),
        Setting::Int(int) => guest::Setting::Int(*int),
        Setting::Text(text) => guest::Setting::Text(text.clone()),
    };
    settings.iter().map(|(key, setting)| (key.clone(), value(setting))).collect()
}

pub(crate) fn income(income: host::Income) -> guest::Income {
    let host::Income { key, gross, seq, time_ms, coord, finder, .. } = income;
    guest::Income { key, gross, seq, time_ms, coord, finder }
}

pub(crate) fn totals(totals: host::Totals) -> guest::Totals {
    let host::Totals { miner, low, high } = totals;
    guest::Totals { miner, low, high }
}

pub(crate) fn state(state: host::State) -> guest::State {
    let host::State { memo, miner, cells } = state;
    guest::State { memo, miner, cells }
}

pub(crate) fn batch(batch: host::Batch) -> guest::Batch {
    let host::Batch { seq, miner, work, network_low, network_high, time_ms, coord, reward, .. } = batch;
    guest::Batch { seq, miner, work, network_low, network_high, time_ms, coord, reward }
}

pub(crate) fn allocation(allocation: guest::Allocation) -> host::Allocation {
    let guest::Allocation { miner, amount, rest, state } = allocation;
    let guest::State { memo, miner: holders, cells } = state;
    let state = host::State { memo, miner: holders, cells };
    host::Allocation { miner, amount, rest, state, ..host::Allocation::default() }
}

pub(crate) fn terms(terms: guest::Terms) -> host::Terms {
    let guest::Terms { windows, cells, batch, reversal, reserve, claims, state_format } = terms;
    let reversal = match reversal {
        guest::Reversal::Drop => host::Reversal::Drop,
        guest::Reversal::Restore => host::Reversal::Restore,
        guest::Reversal::Keep => host::Reversal::Keep,
    };
    let windows = windows.into_iter().map(window).collect();
    host::Terms { windows, cells, batch, reversal, reserve, claims, state_format, ..host::Terms::default() }
}

fn window(window: guest::Window) -> host::Window {
    let guest::Window { span, measure, edge } = window;
    let span = match span {
        guest::Span::Round => host::Span::Round,
        guest::Span::Finder => host::Span::Finder,
        guest::Span::Shares(n) => host::Span::Shares(n),
        guest::Span::Work(n) => host::Span::Work(n),
        guest::Span::Millis(n) => host::Span::Millis(n),
        guest::Span::Coord(n) => host::Span::Coord(n),
        guest::Span::State => host::Span::State,
    };
    let measure = match measure {
        guest::Measure::Work => host::Measure::Work,
        guest::Measure::Units => host::Measure::Units,
    };
    let edge = match edge {
        guest::Edge::Whole => host::Edge::Whole,
        guest::Edge::Split => host::Edge::Split,
        guest::Edge::Cut => host::Edge::Cut,
    };
    host::Window { span, measure, edge }
}
