//! A scheme at work on a stream of shares, by the contract's own calls: shares are accrued up to a block's own, then
//! the block is divided.

use crate::SimulateError;
use crate::columns::{Columns, Told};
use crate::counted::{Counted, Once};
use crate::plugins::{Loaded, LoadedFee};
use crate::scenario::Part;
use millpond_contracts::Outcome;
use millpond_contracts::payout::{
    self as contract, Allocation, Batch, Fees, Income, Reversal, State, Totals,
};
use millpond_native::Chain;
use millpond_payout::Fractions;
use millpond_types::{Digest, MinerId};
use millpond_windows::{Edge, Measure, Row, Sliding, Span, Window};

/// Shares that have a block's work and reward in common, in their order.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The number of the first one.
    pub first: u64,
    /// A block's work.
    pub network: u64,
    /// What a block earns.
    pub reward: u64,
    /// What of that is no fees.
    pub subsidy: u64,
    /// The shares.
    pub rows: Vec<Row>,
}

/// A block of the pool, found by the newest share.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its number in this pool, from 1.
    pub number: u64,
    /// The share's number.
    pub seq: u64,
    /// Who found it.
    pub miner: u32,
    /// His class.
    pub class: u32,
    /// What it earns.
    pub reward: u64,
    /// What of that is no fees.
    pub subsidy: u64,
    /// What it took.
    pub network: u64,
    /// When it was found.
    pub time_ms: u64,
    /// Its height.
    pub coord: u64,
    /// The chain loses it, before anything else happens.
    pub lost: bool,
}

/// A scheme that is fed with shares and blocks.
pub trait Runner: Send {
    /// The next shares.
    ///
    /// # Errors
    /// The scheme's own, or what it gave breaks the contract.
    fn shares(&mut self, chunk: &Chunk) -> Result<(), SimulateError>;

    /// So many shares like this one, in no known order: schemes that look at the round alone.
    ///
    /// # Errors
    /// When a sum does not fit.
    fn many(&mut self, row: &Row, count: u64) -> Result<(), SimulateError>;

    /// The newest share is a block.
    ///
    /// # Errors
    /// As [`Runner::shares`].
    fn block(&mut self, block: &Block) -> Result<(), SimulateError>;

    /// Shares that wait for a batch to be full are handed over now.
    ///
    /// # Errors
    /// As [`Runner::shares`].
    fn settle(&mut self) -> Result<(), SimulateError>;

    /// What each miner was paid; the caller sets it back to 0.
    fn paid(&mut self) -> &mut [u128];
}

/// A runner by the contract's calls alone.
pub struct Contract {
    scheme: Loaded,
    windows: Vec<Counted>,
    pending: Batch,
    rows: usize,
    cells: Vec<u64>,
    memo: Vec<u8>,
    /// By miner: the batch that named him last.
    stamps: Vec<u64>,
    batches: u64,
    named: Vec<u32>,
    sums: Vec<(u32, u128)>,
    paid: Vec<u128>,
    fee: Part,
    chain: Option<Chain>,
    pub(crate) books: Books,
    pub(crate) ages: Ages,
    missed_before: u64,
    columns: Option<Columns>,
}

/// Where the money is, in the smallest unit unless it says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Books {
    pub(crate) incomes: u64,
    pub(crate) lost: u64,
    /// What incomes that were kept brought.
    pub(crate) earned: u128,
    pub(crate) paid: u128,
    pub(crate) carry: u64,
    /// Of a scheme that credits shares: what incomes left less what was credited and what was lost after it was paid.
    reserve: i128,
    /// The scheme's own parts for the operator.
    kept: u128,
    /// What the operator has, his fees counted, in millionths.
    pub(crate) operator: i128,
    /// The least he had.
    pub(crate) least: i128,
}

impl Books {
    /// Whether what was earned is what was paid, carried and put aside.
    pub(crate) fn conserved(&self) -> bool {
        let rest = i128::from(self.carry)
            .checked_add(self.reserve)
            .and_then(|rest| rest.checked_add(i128::try_from(self.kept).ok()?));
        let parts = i128::try_from(self.paid).ok().zip(rest).and_then(|(paid, rest)| paid.checked_add(rest));
        parts.is_some() && parts == i128::try_from(self.earned).ok()
    }

    fn moved(&mut self, millionths: i128) {
        self.operator = self.operator.saturating_add(millionths);
        self.least = self.least.min(self.operator);
    }
}

/// How old work is when it is paid, in blocks' work.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ages {
    pub(crate) sum: f64,
    pub(crate) count: u64,
}

const MILLION: i128 = 1_000_000;
/// What a reserve holds that is never short, and that an income can be added to.
pub(crate) const RESERVE: u64 = u64::MAX >> 1;

/// The windows of a scheme, as they are counted.
pub(crate) fn windows(
    name: &str,
    terms: &contract::Terms,
    greatest: u128,
) -> Result<Vec<Counted>, SimulateError> {
    let one = |declared: &contract::Window| {
        let window = window(declared).ok_or_else(|| {
            let message = format!("it asks for a window that no pool computes yet: {declared:?}");
            SimulateError::Plugin { name: name.to_owned(), message }
        })?;
        if let Span::Unpaid(most) = window.span {
            return Ok(Counted::Once(Once::new(most, window.measure, window.edge)));
        }
        Sliding::new(window, greatest)
            .map(Counted::Slides)
            .map_err(|source| SimulateError::Window { name: name.to_owned(), source })
    };
    terms.windows.iter().map(one).collect()
}

/// A window as the windows' crate has it. All jobs of a height have the same fees here: a share's part of its slice by fees
/// is its part by work, and so is a window in slices one by work.
fn window(declared: &contract::Window) -> Option<Window> {
    let span = match declared.span {
        contract::Span::Round => Span::Round,
        contract::Span::Finder => Span::Finder,
        contract::Span::Shares(count) => Span::Shares(count),
        contract::Span::Work(thousandths) => Span::Work(thousandths),
        contract::Span::Millis(millis) => Span::Millis(millis),
        contract::Span::Coord(steps) => Span::Coord(steps),
        contract::Span::Slices(thousandths, _) => Span::Work(thousandths),
        contract::Span::State => Span::State,
        contract::Span::Unpaid(most) => Span::Unpaid(most),
        contract::Span::StandingRound | contract::Span::Shifts(..) => {
            return None;
        }
    };
    let measure = match declared.measure {
        contract::Measure::Work => Measure::Work,
        contract::Measure::FeeValue if matches!(declared.span, contract::Span::Slices(..)) => Measure::Work,
        contract::Measure::Value if matches!(declared.span, contract::Span::Unpaid(_)) => Measure::Value,
        contract::Measure::SubsidyValue if matches!(declared.span, contract::Span::Unpaid(_)) => {
            Measure::SubsidyValue
        }
        contract::Measure::Units => Measure::Units,
        contract::Measure::Count => Measure::Count,
        contract::Measure::Value | contract::Measure::SubsidyValue | contract::Measure::FeeValue => {
            return None;
        }
    };
    let edge = match declared.edge {
        contract::Edge::Whole => Edge::Whole,
        contract::Edge::Split => Edge::Split,
        contract::Edge::Cut => Edge::Cut,
    };
    Some(Window { span, measure, edge })
}

/// What fees are taken of.
#[derive(Clone, Copy)]
enum Of {
    Income,
    Credits,
}

/// Where a miner of a name stands.
fn place(name: u64) -> usize {
    name.checked_sub(1).and_then(|place| usize::try_from(place).ok()).unwrap_or(usize::MAX)
}

/// A miner as schemes hear of him: 0 is nobody's name.
pub(crate) const fn name(miner: u32) -> u64 {
    miner as u64 + 1
}

impl Contract {
    /// A scheme without shares, for so many miners. `greatest` is the greatest work of a block that there will be.
    pub(crate) fn new(
        scheme: &Loaded,
        miners: usize,
        greatest: u128,
        fee: Part,
        rows: Option<u32>,
        digests: bool,
    ) -> Result<Self, SimulateError> {
        let windows = windows(&scheme.name, &scheme.terms, greatest)?;
        let width = usize::from(scheme.terms.cells);
        let rows = if scheme.terms.batch == 0 { 0 } else { rows.unwrap_or(scheme.terms.batch) };
        Ok(Self {
            windows,
            pending: Batch::default(),
            rows: rows as usize,
            cells: vec![0; miners.saturating_mul(width)],
            memo: Vec::new(),
            stamps: vec![0; miners],
            batches: 0,
            named: Vec::new(),
            sums: Vec::new(),
            paid: vec![0; miners],
            fee,
            chain: digests.then(Chain::default),
            books: Books::default(),
            ages: Ages::default(),
            missed_before: 0,
            columns: scheme.columns.clone(),
            scheme: scheme.clone(),
        })
    }

    /// Shares that no block ever paid, of the first window, since [`Contract::begin`].
    pub(crate) fn missed(&self) -> Option<u64> {
        self.windows.first().map(|window| window.missed().saturating_sub(self.missed_before))
    }

    /// What is measured begins here: windows are as full as they will be.
    pub(crate) fn begin(&mut self) {
        self.ages = Ages::default();
        self.missed_before = self.windows.first().map_or(0, Counted::missed);
    }

    /// The digest of all that its calls gave.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.chain.map(|chain| chain.digest())
    }

    /// What the reserve holds for an income to draw on. It is never short here: how often it would have been is told of the
    /// paths that the operator's money took.
    fn held(&self) -> u64 {
        if self.scheme.terms.reserve { RESERVE } else { 0 }
    }

    /// Whether it is fed with batches of shares.
    pub(crate) fn takes_shares(&self) -> bool {
        self.scheme.terms.batch > 0
    }

    /// Whether its windows are of the round alone.
    pub(crate) fn needs_no_order(&self) -> bool {
        self.windows.iter().all(Counted::needs_no_order)
    }

    fn width(&self) -> usize {
        usize::from(self.scheme.terms.cells)
    }

    fn row(&self, miner: u32) -> Option<&[u64]> {
        let width = self.width();
        let from = (miner as usize).checked_mul(width)?;
        self.cells.get(from..from.checked_add(width)?)
    }

    fn state(&self, miners: impl Iterator<Item = u32>) -> State {
        let mut state = State { memo: self.memo.clone(), ..State::default() };
        if self.width() > 0 {
            for miner in miners {
                if let Some(cells) = self.row(miner)
                    && cells.iter().any(|cell| *cell != 0)
                {
                    state.miner.push(name(miner));
                    state.cells.extend_from_slice(cells);
                }
            }
        }
        state
    }

    fn window_error(&self, source: millpond_windows::WindowError) -> SimulateError {
        SimulateError::Window { name: self.scheme.name.clone(), source }
    }

    fn outcome(&mut self, outcome: Outcome<Allocation>) -> Result<Allocation, SimulateError> {
        if let Some(chain) = &mut self.chain {
            chain.push(&outcome)?;
        }
        let name = || self.scheme.name.clone();
        outcome.map(|done| done.value).map_err(|source| SimulateError::Call { name: name(), source })
    }

    /// Checks what a call gave and writes its state down. Gives the sum of its amounts.
    fn check(&self, given: &Allocation) -> Result<u64, SimulateError> {
        let broken = |message: &str| {
            let (name, block) = (self.scheme.name.clone(), self.books.incomes);
            Err(SimulateError::Broken { name, block, message: message.to_owned() })
        };
        let known = |names: &[u64]| {
            let ascending = names.iter().zip(names.iter().skip(1)).all(|(a, b)| a < b);
            ascending && names.iter().all(|name| (1..=self.paid.len() as u64).contains(name))
        };
        if given.miner.len() != given.amount.len() || !known(&given.miner) || given.amount.contains(&0) {
            return broken("amounts that are not above 0 for known miners in ascending order");
        }
        let cells = given.state.miner.len().saturating_mul(self.width());
        if !known(&given.state.miner) || given.state.cells.len() != cells {
            return broken("cells that are not as wide as declared for known miners in ascending order");
        }
        match given.amount.iter().try_fold(0_u64, |sum, amount| sum.checked_add(*amount)) {
            Some(sum) => Ok(sum),
            None => broken("amounts whose sum does not fit 64 bits"),
        }
    }

    fn pay(&mut self, given: &Allocation) {
        for (name, amount) in given.miner.iter().zip(&given.amount) {
            let place = name.checked_sub(1).and_then(|place| usize::try_from(place).ok());
            if let Some(paid) = place.and_then(|place| self.paid.get_mut(place)) {
                *paid = paid.saturating_add(u128::from(*amount));
            }
        }
    }

    fn keep(&mut self, state: State) {
        let width = self.width();
        for (name, cells) in state.miner.iter().zip(state.cells.chunks_exact(width.max(1))) {
            let from = name.checked_sub(1).and_then(|place| usize::try_from(place).ok()?.checked_mul(width));
            let row = from.and_then(|from| self.cells.get_mut(from..from.checked_add(width)?));
            if let Some(row) = row {
                row.copy_from_slice(cells);
            }
        }
        if !state.memo.is_empty() {
            self.memo = state.memo;
        }
    }

    fn accrue(&mut self) -> Result<(), SimulateError> {
        if self.pending.seq.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.pending);
        let mut named = std::mem::take(&mut self.named);
        named.sort_unstable();
        let state = self.state(named.iter().copied());
        named.clear();
        self.named = named;
        self.batches = self.batches.saturating_add(1);
        // What a pool tells its fee policies of a batch: all but how much was credited.
        let last = batch.seq.last().copied().unwrap_or(0);
        let about = Income {
            key: last.to_le_bytes().to_vec(),
            seq: last,
            time_ms: batch.time_ms.last().copied().unwrap_or(0),
            coord: batch.coord.last().copied().unwrap_or(0),
            ..Income::default()
        };
        let outcome = self.scheme.caller.accrue(&self.scheme.settings, batch, state);
        let given = self.outcome(outcome)?;
        let sum = self.check(&given)?;
        let others = [given.rest, given.operator, given.to_reserve];
        if others != [0; 3] || (sum > 0 && !self.scheme.terms.reserve) {
            let (name, block) = (self.scheme.name.clone(), self.books.incomes);
            let message = "a batch of shares with a rest, or credited without a reserve".to_owned();
            return Err(SimulateError::Broken { name, block, message });
        }
        let mut given = given;
        let income = Income { gross: sum, ..about };
        let fees = self.charge(&income, Of::Credits, &mut given)?;
        self.pay(&given);
        let net = sum.saturating_sub(fees);
        self.books.paid = self.books.paid.saturating_add(net.into());
        self.books.kept = self.books.kept.saturating_add(fees.into());
        self.books.reserve = self.books.reserve.saturating_sub(sum.into());
        self.books.moved(self.after_fee(net).saturating_neg());
        self.keep(given.state);
        Ok(())
    }

    /// Has the fee policies take their parts of what miners were given, each of what the one before left. Gives what they
    /// took.
    fn charge(&self, income: &Income, of: Of, given: &mut Allocation) -> Result<u64, SimulateError> {
        let mut all = 0_u64;
        let told = Told(self.columns.as_ref());
        for (at, fee) in self.scheme.fees.iter().enumerate() {
            if given.miner.is_empty() {
                break;
            }
            let miners = &given.miner;
            let columns =
                fee.columns.iter().map(|column| told.column(column, miners.iter().map(|name| place(*name))));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let mut parts = self.fees(fee, income, miners, &given.amount, &columns)?;
            // As the production path has it: more exactly, where that is the same fee.
            let fractions = match of {
                Of::Credits => Fractions::new(at, &income.key, income.gross),
                Of::Income => None,
            };
            if let Some(fractions) = fractions {
                let income = Income { gross: fractions.finer(income.gross), ..income.clone() };
                let amounts: Vec<u64> = given.amount.iter().map(|amount| fractions.finer(*amount)).collect();
                let fine = self.fees(fee, &income, miners, &amounts, &columns)?;
                for ((name, part), fine) in miners.iter().zip(&mut parts).zip(fine) {
                    if fractions.agree(*part, fine) {
                        *part = fractions.whole(fine, MinerId(name.saturating_sub(1)));
                    }
                }
            }
            let (mut miner, mut amount) = (Vec::new(), Vec::new());
            for ((name, whole), part) in miners.iter().zip(&given.amount).zip(parts) {
                all = all.checked_add(part).ok_or(SimulateError::Overflow("fees"))?;
                if part < *whole {
                    miner.push(*name);
                    amount.push(whole.saturating_sub(part));
                }
            }
            (given.miner, given.amount) = (miner, amount);
        }
        Ok(all)
    }

    /// What one policy takes of each of these, less what it gives back.
    fn fees(
        &self,
        fee: &LoadedFee,
        income: &Income,
        miners: &[u64],
        amounts: &[u64],
        columns: &[Vec<u64>],
    ) -> Result<Vec<u64>, SimulateError> {
        let asked = fee.plugin.fees(&fee.settings, income, miners, amounts, columns);
        let call = |source| SimulateError::Call { name: fee.name.clone(), source };
        let Fees { fee: charged, rebate } = asked.map_err(call)?.value;
        let broken = |what: &str| {
            let message = format!("of fee policy {}: {what}", fee.name);
            SimulateError::Broken { name: self.scheme.name.clone(), block: self.books.incomes, message }
        };
        if charged.len() != amounts.len() || rebate.len() != amounts.len() {
            return Err(broken("not one fee and one rebate for each miner"));
        }
        let part = |((amount, charged), rebate): ((&u64, &u64), &u64)| {
            let part = charged.checked_sub(*rebate).filter(|_| charged <= amount);
            part.ok_or_else(|| broken("a fee above the amount, or a rebate above the fee"))
        };
        amounts.iter().zip(&charged).zip(&rebate).map(part).collect()
    }

    /// Millionths of what miners get of an amount.
    fn after_fee(&self, amount: u64) -> i128 {
        i128::from(amount).saturating_mul(MILLION.saturating_sub(self.fee.millionths.into()))
    }

    fn divide(&mut self, block: &Block) -> Result<(), SimulateError> {
        let mut totals = Vec::with_capacity(self.windows.len());
        let mut sums = std::mem::take(&mut self.sums);
        let carry_in = if self.scheme.terms.reserve { 0 } else { self.books.carry };
        let gross = block
            .reward
            .checked_add(carry_in)
            .ok_or(SimulateError::Overflow("an income with what was carried"))?;
        for (at, window) in self.windows.iter_mut().enumerate() {
            window
                .sums((block.network, block.miner, gross), &mut sums)
                .map_err(|source| SimulateError::Window { name: self.scheme.name.clone(), source })?;
            let mut columns = Totals::default();
            for (miner, sum) in &sums {
                columns.miner.push(name(*miner));
                columns.low.push(*sum as u64);
                columns.high.push((*sum >> 64) as u64);
            }
            totals.push(columns);
            let one = match self.scheme.terms.windows.first().map(|declared| declared.measure) {
                Some(contract::Measure::Units) => 18_446_744_073_709_551_616.0,
                _ => block.network as f64,
            };
            if let Some(age) = window.age(one).filter(|_| at == 0) {
                self.ages.sum += age;
                self.ages.count = self.ages.count.saturating_add(1);
            }
            window.end_round();
        }
        self.sums = sums;
        let income = Income {
            key: block.number.to_le_bytes().to_vec(),
            gross,
            seq: block.number,
            time_ms: block.time_ms,
            coord: block.coord,
            finder: Some(name(block.miner)),
            carried: carry_in,
            subsidy: self.scheme.terms.needs_subsidy.then_some(block.subsidy),
            reserve: self.held(),
        };
        let everybody = (0..).take(self.paid.len());
        let state = self.state(everybody);
        let about = if self.scheme.fees.is_empty() { Income::default() } else { income.clone() };
        let outcome = self.scheme.caller.allocate(&self.scheme.settings, income, totals, state);
        self.books.incomes = self.books.incomes.saturating_add(1);
        let given = self.outcome(outcome)?;
        let sum = self.check(&given)?;
        let parts = [sum, given.rest, given.operator, given.to_reserve];
        let wide = |parts: &[u64]| parts.iter().map(|part| u128::from(*part)).sum::<u128>();
        if wide(&parts) != wide(&[gross, given.from_reserve]) {
            let (name, block) = (self.scheme.name.clone(), self.books.incomes);
            let message = format!(
                "{sum} for miners and {:?} for others of an income of {gross} and {} of the reserve",
                parts.get(1..).unwrap_or_default(),
                given.from_reserve
            );
            return Err(SimulateError::Broken { name, block, message });
        }
        self.book(block, given, sum, &about)
    }

    fn book(
        &mut self,
        block: &Block,
        mut given: Allocation,
        sum: u64,
        about: &Income,
    ) -> Result<(), SimulateError> {
        let keeps = !block.lost || self.scheme.terms.reversal == Reversal::Keep;
        if block.lost {
            self.books.lost = self.books.lost.saturating_add(1);
        }
        if !keeps {
            // Dropped, or restored with nothing after it: as if it had never been.
            return Ok(());
        }
        self.windows.iter_mut().for_each(Counted::keep);
        let charged = self.charge(about, Of::Income, &mut given)?;
        let sum = sum.saturating_sub(charged);
        self.pay(&given);
        self.books.paid = self.books.paid.saturating_add(sum.into());
        let fees = i128::from(sum).saturating_mul(self.fee.millionths.into());
        if block.lost {
            // Miners keep it, the operator pays it.
            self.books.reserve = self.books.reserve.saturating_sub(sum.into());
            self.books.moved(self.after_fee(sum).saturating_neg());
        } else {
            self.books.earned = self.books.earned.saturating_add(block.reward.into());
            self.books.moved(fees.saturating_add(i128::from(charged).saturating_mul(MILLION)));
            // 0.1 says what the reserve gets as its rest.
            let (kept, carry) = match self.scheme.terms.reserve && given.to_reserve == 0 {
                true => (given.rest, 0),
                false => (given.to_reserve, given.rest),
            };
            let reserve = i128::from(kept).saturating_sub(given.from_reserve.into());
            self.books.reserve = self.books.reserve.saturating_add(reserve);
            self.books.moved(reserve.saturating_add(given.operator.into()).saturating_mul(MILLION));
            let kept = u128::from(given.operator).saturating_add(charged.into());
            self.books.kept = self.books.kept.saturating_add(kept);
            self.books.carry = carry;
        }
        self.keep(given.state);
        Ok(())
    }
}

impl Runner for Contract {
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
                // Credits of an hour see the statistics of the hour.
                self.accrue()?;
            }
            if let Some(columns) = &mut self.columns {
                columns.push(row);
            }
            let stamp = self.batches.saturating_add(1);
            if let Some(named) = self.stamps.get_mut(row.miner as usize)
                && *named != stamp
            {
                *named = stamp;
                self.named.push(row.miner);
            }
            let pending = &mut self.pending;
            pending.seq.push(seq);
            pending.miner.push(name(row.miner));
            pending.work.push(row.work);
            pending.network_low.push(chunk.network);
            pending.network_high.push(0);
            pending.time_ms.push(row.time_ms);
            pending.coord.push(row.coord);
            pending.reward.push(chunk.reward);
            if pending.shares.is_empty() {
                pending.first = seq;
            }
            pending.last = seq;
            pending.shares.push(1);
            pending.work_high.push(0);
            pending.subsidy.push(if self.scheme.terms.needs_subsidy { chunk.subsidy } else { chunk.reward });
            if pending.seq.len() >= self.rows {
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
        self.divide(block)
    }

    fn settle(&mut self) -> Result<(), SimulateError> {
        self.accrue()
    }

    fn paid(&mut self) -> &mut [u128] {
        &mut self.paid
    }
}
