//! What the digests of 0.1 are of: JSON of the arguments as they were on its first day. Nothing here changes.

use super::{Asked, digest_of};
use crate::PayoutError;
use millpond_contracts::payout;
use millpond_types::Digest;
use serde::Serialize;

#[derive(Serialize)]
struct Income<'a> {
    key: &'a [u8],
    gross: u64,
    seq: u64,
    time_ms: u64,
    coord: u64,
    finder: Option<u64>,
}

#[derive(Serialize)]
struct Totals<'a> {
    miner: &'a [u64],
    low: &'a [u64],
    high: &'a [u64],
}

#[derive(Serialize)]
struct State<'a> {
    memo: &'a [u8],
    miner: &'a [u64],
    cells: &'a [u64],
}

#[derive(Serialize)]
struct Batch<'a> {
    seq: &'a [u64],
    miner: &'a [u64],
    work: &'a [u64],
    network_low: &'a [u64],
    network_high: &'a [u64],
    time_ms: &'a [u64],
    coord: &'a [u64],
    reward: &'a [u64],
}

#[derive(Serialize)]
struct Allocation<'a> {
    miner: &'a [u64],
    amount: &'a [u64],
    rest: u64,
    state: State<'a>,
}

fn income(income: &payout::Income) -> Income<'_> {
    let payout::Income { key, gross, seq, time_ms, coord, finder, .. } = income;
    Income { key, gross: *gross, seq: *seq, time_ms: *time_ms, coord: *coord, finder: *finder }
}

fn totals(totals: &payout::Totals) -> Totals<'_> {
    let payout::Totals { miner, low, high } = totals;
    Totals { miner, low, high }
}

fn state(state: &payout::State) -> State<'_> {
    let payout::State { memo, miner, cells } = state;
    State { memo, miner, cells }
}

fn batch(batch: &payout::Batch) -> Batch<'_> {
    let payout::Batch { seq, miner, work, network_low, network_high, time_ms, coord, reward, .. } = batch;
    Batch { seq, miner, work, network_low, network_high, time_ms, coord, reward }
}

pub(super) fn asked(asked: Asked<'_>) -> Result<Digest, PayoutError> {
    match asked {
        Asked::Income(given, windows, cells) => {
            let windows: Vec<Totals<'_>> = windows.iter().map(totals).collect();
            digest_of(&(income(given), windows, state(cells)))
        }
        Asked::Shares(shares, cells) => digest_of(&(batch(shares), state(cells))),
    }
}

pub(super) fn given(given: &payout::Allocation) -> Result<Digest, PayoutError> {
    let payout::Allocation { miner, amount, rest, state: cells, .. } = given;
    digest_of(&Allocation { miner, amount, rest: *rest, state: state(cells) })
}

pub(super) fn fees(
    given: &payout::Income,
    miner: &[u64],
    amount: &[u64],
    columns: &[Vec<u64>],
) -> Result<Digest, PayoutError> {
    digest_of(&(income(given), miner, amount, columns))
}
