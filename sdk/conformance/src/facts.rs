//! Arguments of the contract and of the pool's code, put together field by field in this one place.

use crate::log::LoggedShare;
use millpond_contracts::payout::{Batch, FeePolicy, Fees, Income, State, Totals};
use millpond_contracts::{Done, Outcome, Settings};
use millpond_ledger::{Account, Entry, FeeName, IncomeKey, Owner, Posting, Record, Reversal as Taken};
use millpond_payout::{AccruedShare, BoundFee, BoundScheme, IncomeFacts, Recipient, WindowSums};
use millpond_types::{Amount, Digest, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The subsidy of a reward: nine tenths of it.
pub(crate) fn subsidy(reward: u64) -> Amount {
    Amount(reward.saturating_sub(reward / 10))
}

/// What 0.2 is told more, of an income on its own: nothing carried, and a reserve that is large.
fn more(gross: u64) -> Income {
    Income { subsidy: Some(subsidy(gross).0), reserve: u64::MAX >> 1, ..Income::default() }
}

/// The key of the n-th income.
pub(crate) fn key(number: u64) -> Option<IncomeKey> {
    IncomeKey::new(number.to_le_bytes().to_vec())
}

/// An income that ends at share `seq`, for the pool's code; without a share it has no finder.
pub(crate) fn income_facts(
    number: u64,
    amount: u64,
    seq: u64,
    share: Option<&LoggedShare>,
    now: (u64, u64),
) -> Option<IncomeFacts> {
    Some(IncomeFacts {
        key: key(number)?,
        amount: Amount(amount),
        number,
        end: ShareSeq(seq),
        time: UnixMillis(share.map_or(now.0, |share| share.time_ms)),
        coord: share.map_or(now.1, |share| share.coord),
        finder: share.map(|share| MinerId(share.miner)),
        // Nine tenths of what blocks bring, for schemes that pay it apart.
        subsidy: Some(subsidy(amount)),
        reserve: Amount::ZERO,
        unpaid: None,
    })
}

/// An income by somebody, for the pool's code.
pub(crate) fn found(number: u64, amount: u64, finder: u64) -> Option<IncomeFacts> {
    let mut facts = income_facts(number, amount, number, None, (1_700_000_000_000, 800_000))?;
    facts.finder = Some(MinerId(finder));
    Some(facts)
}

/// Who receives the operator's part of a scheme that has one: a policy that takes nothing.
pub(crate) fn operator(bound: &BoundScheme) -> Result<Option<BoundFee>, String> {
    if bound.terms().operator_most == 0 {
        return Ok(None);
    }
    let name = FeeName::try_from("operator".to_owned()).map_err(|error| error.to_string())?;
    let recipients = vec![Recipient { name, weight: 1 }];
    let fee = BoundFee::new("nothing", Arc::new(Nothing), Settings::new(), recipients);
    fee.map(Some).map_err(|error| error.to_string())
}

/// A fee policy that takes nothing.
struct Nothing;

impl FeePolicy for Nothing {
    fn digest(&self) -> Digest {
        Digest::default()
    }
    fn schema(&self) -> Outcome<String> {
        done("{}".to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Vec<String>> {
        done(Vec::new())
    }
    fn fees(&self, _: &Settings, _: &Income, miner: &[u64], _: &[u64], _: &[Vec<u64>]) -> Outcome<Fees> {
        done(Fees { fee: vec![0; miner.len()], rebate: vec![0; miner.len()] })
    }
}

fn done<T>(value: T) -> Outcome<T> {
    Ok(Done { value, fuel_limit: 0, fuel_used: 0 })
}

/// Sums of one window.
pub(crate) fn window_sums(window: BTreeMap<u64, u128>) -> WindowSums {
    WindowSums(window.into_iter().map(|(miner, sum)| (MinerId(miner), sum)).collect())
}

/// A share for the pool's code.
pub(crate) fn accrued(seq: u64, share: &LoggedShare) -> AccruedShare {
    AccruedShare {
        seq: ShareSeq(seq),
        miner: MinerId(share.miner),
        work: Work(share.work),
        network: WorkSum(share.network),
        time: UnixMillis(share.time_ms),
        coord: share.coord,
        reward: Amount(share.reward),
        subsidy: Some(subsidy(share.reward)),
    }
}

/// An income as a plugin sees it, found by the share with this number.
pub(crate) fn income(number: u64, gross: u64, share: &LoggedShare) -> Income {
    let (time_ms, coord, finder) = (share.time_ms, share.coord, Some(share.miner));
    let key = number.to_le_bytes().to_vec();
    Income { key, gross, seq: number, time_ms, coord, finder, ..more(gross) }
}

/// An income without a log.
pub(crate) fn alone(gross: u64, finder: u64) -> Income {
    let (time_ms, coord) = (1_700_000_000_000, 800_000);
    Income { key: vec![0x11; 32], gross, seq: 1_000, time_ms, coord, finder: Some(finder), ..more(gross) }
}

/// Shares as a plugin sees them, the first with this number.
pub(crate) fn batch(first: u64, shares: &[LoggedShare]) -> Batch {
    let mut batch = Batch::default();
    for (seq, share) in (first..).zip(shares) {
        batch.seq.push(seq);
        batch.miner.push(share.miner);
        batch.work.push(share.work);
        batch.network_low.push((share.network & u128::from(u64::MAX)) as u64);
        batch.network_high.push((share.network >> 64) as u64);
        batch.time_ms.push(share.time_ms);
        batch.coord.push(share.coord);
        batch.reward.push(share.reward);
        batch.shares.push(1);
        batch.work_high.push(0);
        batch.subsidy.push(subsidy(share.reward).0);
    }
    (batch.first, batch.last) = (first, batch.seq.last().copied().unwrap_or(first));
    batch
}

/// A window's columns.
pub(crate) fn columns(rows: &BTreeMap<u64, u128>) -> Totals {
    let mut totals = Totals::default();
    for (miner, sum) in rows {
        totals.miner.push(*miner);
        totals.low.push((sum & u128::from(u64::MAX)) as u64);
        totals.high.push((sum >> 64) as u64);
    }
    totals
}

/// A window's rows.
pub(crate) fn rows(totals: &Totals) -> BTreeMap<u64, u128> {
    let sums =
        totals.low.iter().zip(&totals.high).map(|(low, high)| u128::from(*high) << 64 | u128::from(*low));
    totals.miner.iter().copied().zip(sums).collect()
}

/// A state of these cells, `width` for each miner.
pub(crate) fn state(memo: Vec<u8>, cells: &BTreeMap<u64, Vec<u64>>) -> State {
    let miner = cells.keys().copied().collect();
    State { memo, miner, cells: cells.values().flatten().copied().collect() }
}

/// The cells of a state by miner.
pub(crate) fn cells(state: &State, width: u8) -> BTreeMap<u64, Vec<u64>> {
    let rows = state.cells.chunks_exact(usize::from(width).max(1));
    state.miner.iter().copied().zip(rows.map(<[u64]>::to_vec)).collect()
}

/// What the operator puts into the reserve.
pub(crate) fn deposit(amount: u64) -> Entry {
    let amount = i128::from(amount);
    Entry::Adjustment {
        postings: vec![
            Posting { account: Account::Wallet, amount },
            Posting { account: Account::Payable(Owner::Reserve), amount: -amount },
        ],
        by: "operator".to_owned(),
        reason: "reserve".to_owned(),
    }
}

/// An income that the chain took back.
pub(crate) fn reversed(key: IncomeKey, how: Taken) -> Entry {
    Entry::Reversed { key, how, proof: "another block stands in its place".to_owned() }
}

/// An entry as the ledger's file has it.
pub(crate) fn record(seq: u64, entry: Entry) -> Record {
    Record { v: 1, seq, at: UnixMillis(0), prev: Digest([0; 32]), entry }
}
