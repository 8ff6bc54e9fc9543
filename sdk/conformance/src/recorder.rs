//! A scheme with an ear at its door: what the pool's code asks it in a history, and what it answers. So that properties
//! of one call are tested on the arguments, and on the state, that a pool comes to.

use millpond_contracts::payout::{Allocation, Batch, Income, PayoutScheme, State, Terms, Totals, Version};
use millpond_contracts::{Outcome, Settings};
use millpond_types::Digest;
use std::sync::{Arc, Mutex, PoisonError};

/// An income, asked for and divided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) income: Income,
    pub(crate) windows: Vec<Totals>,
    pub(crate) state: State,
    pub(crate) given: Allocation,
}

/// A batch of shares, asked for and credited.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batched {
    pub(crate) batch: Batch,
    pub(crate) state: State,
    pub(crate) given: Allocation,
}

/// All that was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    pub(crate) incomes: Vec<Asked>,
    pub(crate) batches: Vec<Batched>,
    /// Of every call that succeeded, in order.
    pub(crate) fuel: Vec<u64>,
}

/// Forwards every call.
pub(crate) struct Recorder {
    scheme: Arc<dyn PayoutScheme>,
    heard: Mutex<Heard>,
}

impl Recorder {
    pub(crate) fn new(scheme: Arc<dyn PayoutScheme>) -> Self {
        Self { scheme, heard: Mutex::default() }
    }

    /// What was asked since it was last taken.
    pub(crate) fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hear(&self, put: impl FnOnce(&mut Heard)) {
        put(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl PayoutScheme for Recorder {
    fn digest(&self) -> Digest {
        self.scheme.digest()
    }

    fn version(&self) -> Version {
        self.scheme.version()
    }

    fn schema(&self) -> Outcome<String> {
        self.scheme.schema()
    }

    fn describe(&self, settings: &Settings) -> Outcome<Terms> {
        self.scheme.describe(settings)
    }

    fn allocate(
        &self,
        settings: &Settings,
        income: &Income,
        windows: &[Totals],
        state: &State,
    ) -> Outcome<Allocation> {
        let done = self.scheme.allocate(settings, income, windows, state)?;
        let (income, windows, state) = (income.clone(), windows.to_vec(), state.clone());
        self.hear(|heard| {
            heard.fuel.push(done.fuel_used);
            heard.incomes.push(Asked { income, windows, state, given: done.value.clone() });
        });
        Ok(done)
    }

    fn accrues(&self) -> bool {
        self.scheme.accrues()
    }

    fn accrue(&self, settings: &Settings, batch: &Batch, state: &State) -> Outcome<Allocation> {
        let done = self.scheme.accrue(settings, batch, state)?;
        let (batch, state) = (batch.clone(), state.clone());
        self.hear(|heard| {
            heard.fuel.push(done.fuel_used);
            heard.batches.push(Batched { batch, state, given: done.value.clone() });
        });
        Ok(done)
    }
}
