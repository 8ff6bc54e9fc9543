//! Windows as a simulated pool counts them: those that slide, and the one over what no block has paid.

use crate::runner::Chunk;
use millpond_windows::{Edge, Look, Measure, Row, Sliding, Unpaid, WindowError, value};
use std::collections::VecDeque;

/// One window.
pub(crate) enum Counted {
    /// By shares alone.
    Slides(Sliding),
    /// By what blocks have paid.
    Once(Once),
}

/// A share that no block has paid, or not in full.
#[derive(Clone, Copy)]
struct Share {
    number: u64,
    miner: u32,
    value: u128,
    /// All work up to it.
    work: u128,
}

/// What no block has paid, newest last. A block takes from that end; shares that it has paid are not kept.
pub(crate) struct Once {
    most: u64,
    measure: Measure,
    edge: Edge,
    kept: VecDeque<Share>,
    shares: u64,
    work: u128,
    /// Shares that are out of reach.
    forgotten: u64,
    list: Unpaid,
    /// After the block that was counted last, should the chain keep it.
    after: Option<Unpaid>,
    sums: Vec<u128>,
    /// Of what that block pays: its sum, and that by how much work came after it.
    paid: u128,
    aged: f64,
}

impl Once {
    pub(crate) fn new(most: u64, measure: Measure, edge: Edge) -> Self {
        Self {
            most,
            measure,
            edge,
            kept: VecDeque::new(),
            shares: 0,
            work: 0,
            forgotten: 0,
            list: Unpaid::default(),
            after: None,
            sums: Vec::new(),
            paid: 0,
            aged: 0.0,
        }
    }

    fn push(&mut self, row: &Row, chunk: &Chunk) -> Result<(), WindowError> {
        let amount = if self.measure == Measure::SubsidyValue { chunk.subsidy } else { chunk.reward };
        let value = value(row.work, amount, chunk.network.into()).ok_or(WindowError::Overflow)?;
        self.shares = self.shares.saturating_add(1);
        self.work = self.work.checked_add(row.work.into()).ok_or(WindowError::Overflow)?;
        self.kept.push_back(Share { number: self.shares, miner: row.miner, value, work: self.work });
        Ok(())
    }

    fn sums(&mut self, gross: u64, rows: &mut Vec<(u32, u128)>) -> Result<(), WindowError> {
        rows.clear();
        self.sums.iter_mut().for_each(|sum| *sum = 0);
        (self.paid, self.aged) = (0, 0.0);
        let look = Look { begins: 0, end: self.shares, most: self.most };
        let mut paying = self.list.paying(look, u128::from(gross) << 32, self.edge);
        let mut older = self.kept.len();
        while let Some(number) = paying.newest() {
            let Some(share) = older.checked_sub(1).and_then(|place| self.kept.get(place)) else { break };
            older = older.saturating_sub(1);
            if share.number > number {
                continue;
            }
            let counts = paying.pay(share.number, share.value)?;
            let place = share.miner as usize;
            if place >= self.sums.len() {
                self.sums.resize(place.saturating_add(1), 0);
            }
            if let Some(sum) = self.sums.get_mut(place) {
                *sum = sum.saturating_add(counts);
            }
            self.paid = self.paid.saturating_add(counts);
            self.aged += counts as f64 * self.work.saturating_sub(share.work) as f64;
        }
        rows.extend((0..).zip(&self.sums).filter(|(_, sum)| **sum > 0).map(|(miner, sum)| (miner, *sum)));
        self.after = Some(paying.left());
        Ok(())
    }

    /// The chain keeps the block that was counted last.
    fn keep(&mut self) {
        let Some(after) = self.after.take() else { return };
        let newest = after.stretches().last().map_or(0, |stretch| stretch.last);
        self.kept.truncate(self.kept.partition_point(|share| share.number <= newest));
        let forgotten = self.kept.partition_point(|share| share.number < after.oldest());
        self.kept.drain(..forgotten);
        self.forgotten = self.forgotten.saturating_add(forgotten as u64);
        self.list = after;
    }
}

impl Counted {
    /// Adds the next share of a chunk.
    #[inline]
    pub(crate) fn push(&mut self, row: &Row, chunk: &Chunk) -> Result<(), WindowError> {
        match self {
            Self::Slides(window) => window.push(row),
            Self::Once(window) => window.push(row, chunk),
        }
    }

    /// As [`Sliding::push_many`].
    pub(crate) fn push_many(&mut self, row: &Row, count: u64) -> Result<(), WindowError> {
        match self {
            Self::Slides(window) => window.push_many(row, count),
            Self::Once(_) => Ok(()),
        }
    }

    pub(crate) fn needs_no_order(&self) -> bool {
        matches!(self, Self::Slides(window) if window.needs_no_order())
    }

    /// What the shares up to the newest one weigh, ascending by miner, into `rows`: of a block that takes `network`, was
    /// found by `finder`, and of which `gross` is divided.
    pub(crate) fn sums(
        &mut self,
        (network, finder, gross): (u64, u32, u64),
        rows: &mut Vec<(u32, u128)>,
    ) -> Result<(), WindowError> {
        match self {
            Self::Slides(window) => window.sums(network.into(), Some(finder), rows),
            Self::Once(window) => window.sums(gross, rows),
        }
    }

    /// How old in the mean what was counted last is, in work of a block that takes `one`; `None` where nothing was.
    pub(crate) fn age(&self, one: f64) -> Option<f64> {
        match self {
            Self::Slides(window) => {
                let (total, rows) = window.total();
                // Work of value v has the work after it ahead: of all pairs of shares each once, (T² - Σv²)/2T. Shares of a
                // window are much alike: Σv² is T² by their number.
                let age = 0.5 * (total as f64) * (1.0 - 1.0 / rows as f64) / one;
                (total > 0 && rows > 0).then_some(age)
            }
            Self::Once(window) => (window.paid > 0).then(|| window.aged / (window.paid as f64) / one),
        }
    }

    /// Shares that nothing has paid: because they left the window, or because nothing has paid them yet.
    pub(crate) fn missed(&self) -> u64 {
        match self {
            Self::Slides(window) => window.missed(),
            Self::Once(window) => window.forgotten.saturating_add(window.kept.len() as u64),
        }
    }

    /// A block was found, whatever becomes of it.
    pub(crate) fn end_round(&mut self) {
        if let Self::Slides(window) = self {
            window.end_round();
        }
    }

    /// The chain keeps the block that was counted last.
    pub(crate) fn keep(&mut self) {
        if let Self::Once(window) = self {
            window.keep();
        }
    }

    /// What is unpaid after the block that was counted last.
    pub(crate) fn unpaid(&self) -> Option<Unpaid> {
        match self {
            Self::Slides(_) => None,
            Self::Once(window) => window.after.clone(),
        }
    }
}
