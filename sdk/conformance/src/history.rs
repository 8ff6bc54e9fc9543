//! Histories: many incomes over one share log, with the state that the scheme keeps between them. Through the pool's
//! own code where the property is about money, straight into the scheme where amounts are compared.

use crate::log::ShareLog;
use crate::rng::Rng;
use crate::{Options, scheme};
use millpond_contracts::Settings;
use millpond_contracts::payout::{Allocation, Batch, PayoutScheme, Reversal, State, Terms, Totals};
use millpond_ledger::{IncomeAllocated, IncomeKey};
use millpond_payout::{BoundScheme, IncomeFacts, NoAttributes, SchemeState, WindowSums, allocate};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis};
use std::collections::BTreeMap;

/// An income of a log, for the pool's code.
fn facts(log: &ShareLog, at: usize, amount: u64) -> Result<IncomeFacts, String> {
    let share = log.0.get(at).ok_or("the log has no such share")?;
    let seq = at as u64 + 1;
    let key = IncomeKey::new(seq.to_le_bytes().to_vec()).ok_or("an income without a key")?;
    Ok(IncomeFacts {
        key,
        amount: Amount(amount),
        subsidy: None,
        reserve: Amount::ZERO,
        number: seq,
        end: ShareSeq(seq),
        time: UnixMillis(share.time_ms),
        coord: share.coord,
        finder: Some(MinerId(share.miner)),
    })
}

fn sums(log: &ShareLog, terms: &Terms, at: usize, before: Option<usize>) -> Vec<WindowSums> {
    let named = |window: BTreeMap<u64, u128>| {
        WindowSums(window.into_iter().map(|(miner, sum)| (MinerId(miner), sum)).collect())
    };
    log.windows(terms, at, before).into_iter().map(named).collect()
}

/// Divides one income by the pool's code.
fn divide(
    bound: &BoundScheme,
    log: &ShareLog,
    at: usize,
    before: Option<usize>,
    amount: u64,
    state: &SchemeState,
) -> Result<IncomeAllocated, String> {
    let facts = facts(log, at, amount)?;
    let windows = sums(log, bound.terms(), at, before);
    let decision = allocate(bound, None, &facts, Amount::ZERO, &windows, state, &NoAttributes)
        .map_err(|error| format!("{error}; income {amount} at share {}, windows {windows:?}", at + 1))?;
    Ok(decision.entry)
}

/// Logs of growing size; each block's income is of another amount.
fn each_log(
    options: Options,
    name: &str,
    mut held: impl FnMut(&ShareLog, &[(usize, u64)]) -> Result<(), String>,
) -> Result<u64, String> {
    let mut rng = Rng::new(options.seed, name);
    let mut incomes = 0;
    for n in 0..u64::from(options.cases / 6 + 1) {
        let log = ShareLog::random(&mut rng, 10 + n * 20, n / 3 + 2, n % 15 + 3);
        let blocks: Vec<(usize, u64)> =
            log.blocks().into_iter().map(|at| (at, rng.magnitude(48) as u64)).collect();
        held(&log, &blocks)?;
        incomes += blocks.len() as u64;
    }
    Ok(incomes)
}

pub(crate) fn conserved(bound: &BoundScheme, options: Options) -> Result<String, String> {
    let incomes = each_log(options, "conserved", |log, blocks| straight(bound, log, blocks).map(drop))?;
    Ok(format!("{incomes} incomes"))
}

fn straight(
    bound: &BoundScheme,
    log: &ShareLog,
    blocks: &[(usize, u64)],
) -> Result<Vec<IncomeAllocated>, String> {
    let mut state = SchemeState::new(bound.terms());
    let mut before = None;
    let mut entries = Vec::new();
    for (at, amount) in blocks {
        let entry = divide(bound, log, *at, before, *amount, &state)?;
        state.apply(&entry.state, Some(&entry.key)).map_err(|error| error.to_string())?;
        before = Some(*at);
        entries.push(entry);
    }
    Ok(entries)
}

/// Every income divided from a state that was rebuilt from the entries before it.
pub(crate) fn restored(bound: &BoundScheme, options: Options) -> Result<String, String> {
    let incomes = each_log(options, "restored", |log, blocks| {
        let entries = straight(bound, log, blocks)?;
        let mut before = None;
        for (n, (at, amount)) in blocks.iter().enumerate() {
            let mut state = SchemeState::new(bound.terms());
            for entry in entries.iter().take(n) {
                state.apply(&entry.state, None).map_err(|error| error.to_string())?;
            }
            let again = divide(bound, log, *at, before, *amount, &state)?;
            if entries.get(n) != Some(&again) {
                return Err(format!("the income at share {} has another entry after a restart", at + 1));
            }
            before = Some(*at);
        }
        Ok(())
    })?;
    Ok(format!("{incomes} incomes"))
}

/// `Err`: the property does not apply.
pub(crate) fn orphan(bound: &BoundScheme, options: Options) -> Result<Result<String, String>, String> {
    let reversal = bound.terms().reversal;
    if reversal == Reversal::Keep {
        return Err("it keeps the credits of lost incomes: they are the operator's loss".to_owned());
    }
    let held = each_log(options, "orphan", |log, blocks| {
        let Some(((lost, amount), rest)) = blocks.split_first() else { return Ok(()) };
        // The lost income's shares still end a round: that is the window's matter, not the scheme's.
        let mut with = SchemeState::new(bound.terms());
        let first = divide(bound, log, *lost, None, *amount, &with)?;
        with.apply(&first.state, Some(&first.key)).map_err(|error| error.to_string())?;
        if reversal == Reversal::Restore {
            with.restore_before(&first.key).map_err(|error| error.to_string())?;
        }
        let mut without = SchemeState::new(bound.terms());
        let mut before = Some(*lost);
        for (at, amount) in rest {
            let entry = divide(bound, log, *at, before, *amount, &with)?;
            let clean = divide(bound, log, *at, before, *amount, &without)?;
            if entry != clean {
                return Err(format!(
                    "after the income at share {} was lost, the one at share {} is divided otherwise; declare \
                     reversal `restore`, or keep no state of incomes",
                    lost + 1,
                    at + 1
                ));
            }
            with.apply(&entry.state, None).map_err(|error| error.to_string())?;
            without.apply(&clean.state, None).map_err(|error| error.to_string())?;
            before = Some(*at);
        }
        Ok(())
    });
    Ok(held.map(|incomes| format!("{incomes} incomes, reversal {reversal:?}")))
}

/// A history straight into the scheme: every miner under his own name, no second run.
pub(crate) struct Direct<'a> {
    scheme: &'a dyn PayoutScheme,
    settings: &'a Settings,
    terms: &'a Terms,
    log: &'a ShareLog,
    memo: Vec<u8>,
    cells: BTreeMap<u64, Vec<u64>>,
}

impl<'a> Direct<'a> {
    pub(crate) fn new(
        scheme: &'a dyn PayoutScheme,
        settings: &'a Settings,
        terms: &'a Terms,
        log: &'a ShareLog,
    ) -> Self {
        Self { scheme, settings, terms, log, memo: Vec::new(), cells: BTreeMap::new() }
    }

    fn state(&self, miners: Option<&[u64]>) -> State {
        let wanted = |miner: &u64| miners.is_none_or(|miners| miners.contains(miner));
        let rows = || self.cells.iter().filter(|(miner, _)| wanted(miner));
        State {
            memo: self.memo.clone(),
            miner: rows().map(|(miner, _)| *miner).collect(),
            cells: rows().flat_map(|(_, cells)| cells.iter().copied()).collect(),
        }
    }

    fn keep(&mut self, state: &State) {
        if !state.memo.is_empty() {
            self.memo.clone_from(&state.memo);
        }
        let width = usize::from(self.terms.cells).max(1);
        for (miner, cells) in state.miner.iter().zip(state.cells.chunks_exact(width)) {
            self.cells.insert(*miner, cells.to_vec());
        }
    }

    /// Amounts by miner of one income.
    pub(crate) fn allocate(
        &mut self,
        at: usize,
        before: Option<usize>,
        gross: u64,
    ) -> Result<BTreeMap<u64, u64>, String> {
        let windows: Vec<Totals> =
            self.log.windows(self.terms, at, before).iter().map(scheme::columns).collect();
        let income = self.log.income(at, gross).ok_or("the log has no such share")?;
        let done = self.scheme.allocate(self.settings, &income, &windows, &self.state(None));
        let given = done.map_err(|error| error.to_string())?.value;
        self.keep(&given.state);
        scheme::by_miner(&given, gross)
    }

    /// Credits of a run of shares, in batches of at most `size`.
    pub(crate) fn accrue(
        &mut self,
        range: std::ops::Range<usize>,
        size: usize,
    ) -> Result<BTreeMap<u64, u64>, String> {
        let mut credits = BTreeMap::new();
        let start = range.start;
        let shares = self.log.0.get(range).ok_or("the log has no such shares")?;
        for (n, chunk) in shares.chunks(size.max(1)).enumerate() {
            let mut batch = Batch::default();
            for (at, share) in chunk.iter().enumerate() {
                batch.seq.push((start + n * size.max(1) + at) as u64 + 1);
                batch.miner.push(share.miner);
                batch.work.push(share.work);
                batch.network_low.push((share.network & u128::from(u64::MAX)) as u64);
                batch.network_high.push((share.network >> 64) as u64);
                batch.time_ms.push(share.time_ms);
                batch.coord.push(share.coord);
                batch.reward.push(share.reward);
                batch.shares.push(1);
                batch.work_high.push(0);
                batch.subsidy.push(share.reward);
            }
            batch.first = batch.seq.first().copied().unwrap_or(0);
            batch.last = batch.seq.last().copied().unwrap_or(0);
            let state = self.state(Some(&batch.miner));
            let given: Allocation =
                self.scheme.accrue(self.settings, &batch, &state).map_err(|error| error.to_string())?.value;
            self.keep(&given.state);
            let total = given.amount.iter().try_fold(0_u64, |sum, amount| sum.checked_add(*amount));
            let total = total.ok_or("a batch's credits do not fit 64 bits")?;
            // 0.2 says that credits come out of the reserve; here it is enough what they are.
            let drawn = Allocation { from_reserve: 0, ..given };
            for (miner, amount) in scheme::by_miner(&drawn, total)? {
                let sum = credits.entry(miner).or_insert(0_u64);
                *sum = sum.checked_add(amount).ok_or("a miner's credits do not fit 64 bits")?;
            }
        }
        Ok(credits)
    }
}

/// The amounts and the rest of the income that ends at share `end`, after every block of the log before it.
pub(crate) fn last(
    bound: &BoundScheme,
    log: &ShareLog,
    end: usize,
    income: u64,
) -> Result<(Vec<(u64, u64)>, u64), String> {
    let mut state = SchemeState::new(bound.terms());
    let mut before = None;
    for at in log.blocks().into_iter().filter(|at| *at < end) {
        let reward = log.0.get(at).map_or(0, |share| share.reward);
        let entry = divide(bound, log, at, before, reward, &state)?;
        state.apply(&entry.state, None).map_err(|error| error.to_string())?;
        before = Some(at);
    }
    let entry = divide(bound, log, end, before, income, &state)?;
    let amounts: Vec<(u64, u64)> = entry.parts.miners().map(|(miner, amount)| (miner.0, amount.0)).collect();
    let given: u64 = amounts.iter().map(|row| row.1).sum();
    Ok((amounts, income.saturating_sub(given)))
}
