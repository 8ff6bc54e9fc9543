//! The same on the production path: windows in, checks, a second run under other names, entries of the ledger. Slow, and
//! what figures are held against.

use crate::SimulateError;
use crate::columns::{Columns, Told};
use crate::counted::Counted;
use crate::plugins::Loaded;
use crate::runner::{Block, Chunk, RESERVE, Runner, windows};
use millpond_contracts::Setting;
use millpond_contracts::payout::Reversal;
use millpond_ledger::{Entry, FeeName, IncomeKey, Owner, Share};
use millpond_payout::{
    AccruedShare, BoundFee, BoundScheme, IncomeFacts, PayoutError, Recipient, SchemeState, WindowSums,
    accrue, allocate,
};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use millpond_windows::Row;

/// A scheme as a pool runs it.
pub(crate) struct Production {
    name: String,
    scheme: BoundScheme,
    /// The scenario's fee policies; else who receives the scheme's own part for the operator, at no fee.
    fees: Vec<BoundFee>,
    windows: Vec<Counted>,
    state: SchemeState,
    pending: Vec<AccruedShare>,
    rows: usize,
    columns: Option<Columns>,
    carry: Amount,
    paid: Vec<u128>,
}

impl Production {
    /// A scheme without shares. `rows`: of a batch, where it is not what the scheme declares.
    pub(crate) fn new(
        loaded: &Loaded,
        miners: usize,
        greatest: u128,
        rows: Option<u32>,
    ) -> Result<Self, SimulateError> {
        let name = loaded.name.clone();
        let scheme = BoundScheme::new(&name, loaded.caller.shared(), loaded.settings.clone())
            .map_err(|source| SimulateError::Payout { name: name.clone(), source: Box::new(source) })?;
        let mut fees = Vec::new();
        for fee in &loaded.fees {
            let (plugin, settings) = (std::sync::Arc::clone(&fee.plugin), fee.settings.clone());
            let bound = BoundFee::new(&fee.name, plugin, settings, vec![recipient(&name)?]);
            let bound = bound.map_err(|source| SimulateError::Payout {
                name: fee.name.clone(),
                source: Box::new(source),
            })?;
            // As a pool binds it to a scheme that credits shares.
            fees.push(if scheme.terms().reserve { bound.with_fractions() } else { bound });
        }
        if fees.is_empty() && scheme.terms().operator_most > 0 {
            fees.push(operator(&name)?);
        }
        let windows = windows(&name, scheme.terms(), greatest)?;
        Ok(Self {
            windows,
            state: SchemeState::new(scheme.terms()),
            pending: Vec::new(),
            rows: rows.unwrap_or(u32::MAX).min(scheme.terms().batch) as usize,
            columns: loaded.columns.clone(),
            carry: Amount::ZERO,
            paid: vec![0; miners],
            scheme,
            fees,
            name,
        })
    }

    fn payout(&self, source: PayoutError) -> SimulateError {
        SimulateError::Payout { name: self.name.clone(), source: Box::new(source) }
    }

    fn window_error(&self, source: millpond_windows::WindowError) -> SimulateError {
        SimulateError::Window { name: self.name.clone(), source }
    }

    fn pay(&mut self, parts: &[Share]) -> Amount {
        let mut rest = Amount::ZERO;
        for Share(owner, amount) in parts {
            match owner {
                Owner::Miner(miner) => {
                    if let Some(paid) =
                        usize::try_from(miner.0).ok().and_then(|place| self.paid.get_mut(place))
                    {
                        *paid = paid.saturating_add(amount.0.into());
                    }
                }
                Owner::Carry => rest = *amount,
                Owner::Fee(_) | Owner::Reserve => {}
            }
        }
        rest
    }

    fn accrue(&mut self) -> Result<(), SimulateError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let shares = std::mem::take(&mut self.pending);
        // Whether a reserve is spent is looked at elsewhere: here every share is credited.
        let reserve = Amount(RESERVE);
        let accrual =
            accrue(&self.scheme, &self.fees, &shares, reserve, &self.state, &Told(self.columns.as_ref()))
                .map_err(|source| self.payout(source))?;
        if let Some(Entry::Accrued { parts, state, .. }) = accrual.entry {
            self.pay(parts.shares());
            self.state.apply(&state, None).map_err(|source| self.payout(source))?;
        }
        Ok(())
    }
}

impl Runner for Production {
    fn shares(&mut self, chunk: &Chunk) -> Result<(), SimulateError> {
        for at in 0..self.windows.len() {
            let Some(window) = self.windows.get_mut(at) else { break };
            let pushed = chunk.rows.iter().try_for_each(|row| window.push(row, chunk));
            pushed.map_err(|source| self.window_error(source))?;
        }
        if self.rows == 0 {
            if let Some(columns) = &mut self.columns {
                chunk.rows.iter().for_each(|row| columns.push(row));
            }
            return Ok(());
        }
        for (seq, row) in (chunk.first..).zip(&chunk.rows) {
            if self.columns.as_ref().is_some_and(|columns| columns.turns(row.time_ms)) {
                self.accrue()?;
            }
            if let Some(columns) = &mut self.columns {
                columns.push(row);
            }
            self.pending.push(AccruedShare {
                seq: ShareSeq(seq),
                miner: MinerId(row.miner.into()),
                work: Work(row.work),
                network: WorkSum(chunk.network.into()),
                time: UnixMillis(row.time_ms),
                coord: row.coord,
                reward: Amount(chunk.reward),
                subsidy: Some(Amount(chunk.subsidy)),
            });
            if self.pending.len() >= self.rows {
                self.accrue()?;
            }
        }
        Ok(())
    }

    fn many(&mut self, row: &Row, count: u64) -> Result<(), SimulateError> {
        let added = self.windows.iter_mut().try_for_each(|window| window.push_many(row, count));
        added.map_err(|source| self.window_error(source))
    }

    fn block(&mut self, block: &Block) -> Result<(), SimulateError> {
        self.accrue()?;
        let mut windows = Vec::with_capacity(self.windows.len());
        let mut rows = Vec::new();
        let gross = block.reward.saturating_add(self.carry.0);
        for at in 0..self.windows.len() {
            let Some(window) = self.windows.get_mut(at) else { break };
            let taken = window.sums((block.network, block.miner, gross), &mut rows);
            window.end_round();
            taken.map_err(|source| self.window_error(source))?;
            windows
                .push(WindowSums(rows.iter().map(|(miner, sum)| (MinerId((*miner).into()), *sum)).collect()));
        }
        let key = IncomeKey::new(block.number.to_le_bytes().to_vec())
            .ok_or(SimulateError::Overflow("a key of an income"))?;
        let facts = IncomeFacts {
            key: key.clone(),
            amount: Amount(block.reward),
            number: block.number,
            end: ShareSeq(block.seq),
            time: UnixMillis(block.time_ms),
            coord: block.coord,
            finder: Some(MinerId(block.miner.into())),
            unpaid: self.windows.iter().find_map(Counted::unpaid),
            subsidy: Some(Amount(block.subsidy)),
            reserve: Amount(if self.scheme.terms().reserve { RESERVE } else { 0 }),
        };
        let decision = allocate(
            &self.scheme,
            &self.fees,
            &facts,
            self.carry,
            &windows,
            &self.state,
            &Told(self.columns.as_ref()),
        )
        .map_err(|source| self.payout(source))?;
        if block.lost && self.scheme.terms().reversal != Reversal::Keep {
            return Ok(());
        }
        self.windows.iter_mut().for_each(Counted::keep);
        let rest = self.pay(decision.entry.parts.shares());
        if !block.lost {
            self.carry = rest;
        }
        let applied = self.state.apply(&decision.entry.state, Some(&key));
        applied.map_err(|source| self.payout(source))?;
        // The chain has decided already.
        self.state.settle(&key);
        Ok(())
    }

    fn settle(&mut self) -> Result<(), SimulateError> {
        self.accrue()
    }

    fn paid(&mut self) -> &mut [u128] {
        &mut self.paid
    }
}

/// A flat fee of nothing, for its recipient.
fn operator(scheme: &str) -> Result<BoundFee, SimulateError> {
    let payout = |source| SimulateError::Payout { name: scheme.to_owned(), source: Box::new(source) };
    let none = || {
        SimulateError::scenario(format!("scheme {scheme}"), "there is no fee policy to name its operator by")
    };
    let plugin = millpond_native::fee("flat-fee").ok_or_else(none)?;
    let settings = vec![("basis_points".to_owned(), Setting::Int(0))];
    BoundFee::new("flat-fee", plugin, settings, vec![recipient(scheme)?]).map_err(payout)
}

/// Who receives fees.
fn recipient(scheme: &str) -> Result<Recipient, SimulateError> {
    let name = FeeName::try_from("operator".to_owned());
    let name = name.map_err(|why| SimulateError::scenario(format!("scheme {scheme}"), why.to_string()))?;
    Ok(Recipient { name, weight: 1 })
}
