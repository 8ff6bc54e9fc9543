//! Between the contract's types and those of the SDK for 0.2, field by field. Columns are moved.

use millpond_contracts::payout as host;
use millpond_contracts::{Setting, Settings};
use millpond_sdk::payout_0_2 as guest;

pub(crate) fn settings(settings: &Settings) -> guest::Settings {
    let value = |value: &Setting| match value {
        Setting::Flag(flag) => guest::Setting::Flag(*flag),
        Setting::Int(int) => guest::Setting::Int(*int),
        Setting::Text(text) => guest::Setting::Text(text.clone()),
    };
    settings.iter().map(|(key, setting)| (key.clone(), value(setting))).collect()
}

pub(crate) fn income(income: host::Income) -> guest::Income {
    let paid = income.paid();
    let host::Income { key, gross: _, carried, seq: number, time_ms, coord, finder, subsidy, reserve } =
        income;
    guest::Income { key, number, time_ms, coord, finder, paid, subsidy, carried, reserve }
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
    let host::Batch {
        seq: _,
        miner,
        work: work_low,
        network_low,
        network_high,
        time_ms,
        coord,
        reward,
        first,
        last,
        shares,
        work_high,
        subsidy,
    } = batch;
    guest::Batch {
        first,
        last,
        miner,
        shares,
        work_low,
        work_high,
        network_low,
        network_high,
        time_ms,
        coord,
        reward,
        subsidy,
    }
}

pub(crate) fn allocation(allocation: guest::Allocation) -> host::Allocation {
    let guest::Allocation { miner, amount, carry: rest, operator, to_reserve, from_reserve, state } =
        allocation;
    let guest::State { memo, miner: holders, cells } = state;
    let state = host::State { memo, miner: holders, cells };
    host::Allocation { miner, amount, rest, operator, to_reserve, from_reserve, state }
}

pub(crate) fn terms(terms: guest::Terms) -> host::Terms {
    let guest::Terms {
        windows,
        cells,
        batch,
        grain,
        reversal,
        reserve,
        operator_most,
        needs_subsidy,
        claims,
        state_format,
    } = terms;
    let grain = match grain {
        guest::Grain::Share => host::Grain::Share,
        guest::Grain::MinerJob => host::Grain::MinerJob,
    };
    let reversal = match reversal {
        guest::Reversal::Drop => host::Reversal::Drop,
        guest::Reversal::Restore => host::Reversal::Restore,
        guest::Reversal::Keep => host::Reversal::Keep,
        guest::Reversal::KeepReserve => host::Reversal::KeepReserve,
    };
    let windows = windows.into_iter().map(window).collect();
    host::Terms {
        windows,
        cells,
        batch,
        grain,
        reversal,
        reserve,
        operator_most,
        needs_subsidy,
        claims,
        state_format,
    }
}

fn window(window: guest::Window) -> host::Window {
    let guest::Window { span, measure, edge } = window;
    let span = match span {
        guest::Span::Round => host::Span::Round,
        guest::Span::StandingRound => host::Span::StandingRound,
        guest::Span::Finder => host::Span::Finder,
        guest::Span::Shares(n) => host::Span::Shares(n),
        guest::Span::Work(n) => host::Span::Work(n),
        guest::Span::Millis(n) => host::Span::Millis(n),
        guest::Span::Coord(n) => host::Span::Coord(n),
        guest::Span::Shifts((n, millis)) => host::Span::Shifts(n, millis),
        guest::Span::Unpaid(n) => host::Span::Unpaid(n),
        guest::Span::Slices((n, step)) => host::Span::Slices(n, step),
        guest::Span::State => host::Span::State,
    };
    let measure = match measure {
        guest::Measure::Work => host::Measure::Work,
        guest::Measure::Units => host::Measure::Units,
        guest::Measure::Count => host::Measure::Count,
        guest::Measure::Value => host::Measure::Value,
        guest::Measure::SubsidyValue => host::Measure::SubsidyValue,
        guest::Measure::FeeValue => host::Measure::FeeValue,
    };
    let edge = match edge {
        guest::Edge::Whole => host::Edge::Whole,
        guest::Edge::Split => host::Edge::Split,
        guest::Edge::Cut => host::Edge::Cut,
    };
    host::Window { span, measure, edge }
}
