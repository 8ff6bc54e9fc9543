//! What is kept of a replication: sums by batch, in the order in which they came.

use crate::SimulateError;
use crate::hashrate::Miner;

/// What each class mined in a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// Units since [`Work::begin`], by class, in the pool and elsewhere.
    now: Vec<(u128, u128)>,
    /// Expected value by class, in the pool and elsewhere.
    pub(crate) value: Vec<(f64, f64)>,
    /// What the pool's blocks earned, those that were lost among them.
    pub(crate) found: f64,
    /// How many these are.
    pub(crate) blocks: u64,
}

/// 2^-64.
const UNIT: f64 = millpond_stream::maths::UNIT;

impl Work {
    pub(crate) fn new(classes: usize) -> Self {
        Self { now: vec![(0, 0); classes], value: vec![(0.0, 0.0); classes], found: 0.0, blocks: 0 }
    }

    pub(crate) fn begin(&mut self) {
        self.now.iter_mut().for_each(|units| *units = (0, 0));
    }

    #[inline]
    pub(crate) fn pool(&mut self, class: usize, units: u128) {
        if let Some(now) = self.now.get_mut(class) {
            now.0 = now.0.saturating_add(units);
        }
    }

    #[inline]
    pub(crate) fn elsewhere(&mut self, class: usize, units: u128) {
        if let Some(now) = self.now.get_mut(class) {
            now.1 = now.1.saturating_add(units);
        }
    }

    /// What was mined since [`Work::begin`] is worth its part of this reward.
    pub(crate) fn end(&mut self, reward: u64) -> Result<(), SimulateError> {
        for (now, value) in self.now.iter().zip(&mut self.value) {
            if now.0 == u128::MAX || now.1 == u128::MAX {
                return Err(SimulateError::Overflow("a chunk's work"));
            }
            value.0 += now.0 as f64 * UNIT * reward as f64;
            value.1 += now.1 as f64 * UNIT * reward as f64;
        }
        Ok(())
    }

    /// Takes what was added up, and begins anew.
    pub(crate) fn take(&mut self) -> Self {
        let fresh = Self::new(self.now.len());
        std::mem::replace(self, fresh)
    }
}

/// What a scheme paid a class in a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClassPaid {
    pub(crate) paid: f64,
    /// Of its miners' pay by what each may expect: the mean and the mean square.
    pub(crate) mean: f64,
    pub(crate) square: f64,
}

/// A batch: what was mined, and by scheme and class what was paid.
#[derive(Clone, Debug)]
pub(crate) struct BatchTally {
    pub(crate) work: Work,
    pub(crate) paid: Vec<Vec<ClassPaid>>,
    /// By scheme: what the operator has, in millionths of the smallest unit.
    pub(crate) operator: Vec<i128>,
}

/// Sums a batch's pay by class. `expected` is what all miners together may expect of it.
pub(crate) fn by_class(miners: &[Miner], classes: usize, paid: &[u128], expected: f64) -> Vec<ClassPaid> {
    let mut all = vec![ClassPaid::default(); classes];
    let mut counts = vec![0.0; classes];
    for (miner, paid) in miners.iter().zip(paid) {
        let class = miner.class as usize;
        let (Some(sum), Some(count)) = (all.get_mut(class), counts.get_mut(class)) else { continue };
        let paid = *paid as f64;
        let relative = paid / (expected * miner.part);
        sum.paid += paid;
        sum.mean += relative;
        sum.square += relative * relative;
        *count += 1.0;
    }
    for (sum, count) in all.iter_mut().zip(counts) {
        sum.mean /= count;
        sum.square /= count;
    }
    all
}
