//! Algorithms of an adapter, in instances that are kept.
//!
//! A new instance for each batch would prepare the batch's key each time, a matrix or a data set. So an instance stays,
//! with the keys that were prepared in it: one for each thread that calls at once, and a few in all
//! ([`millpond_runtime::Place::keep`]).
//!
//! The result of a batch is by definition that of a new instance. That a kept one's is the same is the adapter's duty,
//! and is not trusted:
//! - What fails in an instance that has served before is done again in a new one, whose failure or success counts.
//! - An instance serves a number of batches: a few at first, then ever more. Its last batch is done again in the
//!   instance that follows it, as that one's first. Where they differ the adapter keeps state: its figures say so, the log
//!   says so, and each batch has a new instance from then on.

use super::chain::bindings::millpond::chain::types as wit;
use super::chain::pow_bindings::PowOnly;
use super::chain::{Beside, PowOnlyPre, of_length};
use super::fresh::{Fresh, Instantiate};
use crate::Outcome;
use crate::chain::PowFigures;
use millpond_runtime::{CallError, CallSize, Class, Guest, Place, TrapKind, Urgency, call, store};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wasmtime::Store;

/// Keys that are prepared in one instance: the job's, the one's before and after it, and one more.
const KEYS: usize = 4;
/// Batches that the first instance serves; each further one serves twice as many, up to [`MOST_BATCHES`].
const FIRST_BATCHES: u32 = 16;
const MOST_BATCHES: u32 = 4096;

/// Inputs of one width for an algorithm with a key.
pub(super) struct Batch<'a> {
    pub(super) algorithm: &'a str,
    pub(super) key: Vec<u8>,
    pub(super) width: u32,
    pub(super) count: usize,
    pub(super) inputs: Vec<u8>,
}

/// An adapter's algorithms.
pub(super) struct WarmPow {
    fresh: Fresh<Beside<PowOnlyPre<Guest>>>,
    /// Instances that wait at most: as many as threads hash at once.
    most: usize,
    waiting: Mutex<Waiting>,
}

/// Whole at every step.
#[derive(Default)]
struct Waiting {
    /// The one that served last stands last.
    idle: Vec<Instance>,
    figures: PowFigures,
}

/// An instance, described, with the keys that were prepared in it.
struct Instance {
    store: Store<Guest>,
    own: PowOnly,
    prepared: Vec<(String, Vec<u8>)>,
    /// Batches that it has still to serve.
    left: u32,
    /// Bytes of the largest batch so far: its memory stays grown, so later batches are limited alike.
    largest: usize,
    /// Freed last: fields are dropped in their order.
    place: Place,
}

impl WarmPow {
    pub(super) fn new(fresh: Fresh<Beside<PowOnlyPre<Guest>>>) -> Self {
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        Self { fresh, most, waiting: Mutex::default() }
    }

    pub(super) fn figures(&self) -> PowFigures {
        let waiting = self.lock();
        PowFigures { idle: waiting.idle.len(), ..waiting.figures }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes a batch in an instance that is kept, or in a new one.
    pub(super) fn run(&self, given: &wit::Settings, settings: usize, batch: &Batch<'_>) -> Outcome<Vec<u8>> {
        let Some(mut warm) = self.take(batch) else {
            let (instance, done) = self.anew(given, settings, batch)?;
            self.keep(instance);
            return Ok(done);
        };
        match warm.run(&self.fresh, settings, batch) {
            Ok(done) if warm.left > 0 => {
                self.lock().figures.prepared += u64::from(done.prepared);
                self.keep(warm);
                Ok(done.hashes)
            }
            Ok(done) => {
                drop(warm);
                let again = self.anew(given, settings, batch);
                match &again {
                    Ok((_, again)) if again.value == done.hashes.value => {}
                    // What the host cannot do now, for want of a place or of time, says nothing about the batch.
                    Err(error) if is_the_hosts(error) => return Ok(done.hashes),
                    Ok(_) | Err(_) => self.found_out(batch.algorithm),
                }
                let (instance, again) = again?;
                self.keep(instance);
                Ok(again)
            }
            Err(_) => {
                drop(warm);
                self.lock().figures.again += 1;
                let (instance, done) = self.anew(given, settings, batch)?;
                self.keep(instance);
                Ok(done)
            }
        }
    }

    /// An instance that waits: one in which the key is prepared, or else the one that served last and has room for one
    /// more. Where all are full, the oldest of them goes.
    fn take(&self, batch: &Batch<'_>) -> Option<Instance> {
        let mut waiting = self.lock();
        waiting.figures.batches += 1;
        if waiting.figures.stateful {
            return None;
        }
        let idle = &mut waiting.idle;
        let found = idle
            .iter()
            .rposition(|instance| instance.has(batch))
            .or_else(|| idle.iter().rposition(Instance::has_room));
        match found {
            Some(at) => Some(idle.remove(at)),
            None if idle.is_empty() => None,
            None => {
                let full = idle.remove(0);
                drop(waiting);
                drop(full);
                None
            }
        }
    }

    /// Hashes a batch in a new instance.
    fn anew(
        &self,
        given: &wit::Settings,
        settings: usize,
        batch: &Batch<'_>,
    ) -> Result<(Instance, millpond_runtime::Done<Vec<u8>>), CallError> {
        let function = "adapter.describe";
        let budget = self.fresh.budget(function, CallSize::bytes(settings))?;
        let place = self.fresh.plugin.place(Urgency::Ordinary, "pow.run")?;
        let made = {
            let figures = &mut self.lock().figures;
            figures.instances += 1;
            u32::try_from(figures.instances).unwrap_or(u32::MAX)
        };
        let mut store = store(&self.fresh.plugin, budget, self.fresh.log.clone());
        let described = call(&mut store, function, budget, |store| {
            let (main, own) = self.fresh.pre.instantiate(&mut *store)?;
            Ok(main.millpond_chain_adapter().call_describe(store, given)?.map(|_| own))
        })?;
        let own = described.value;
        let doubled = FIRST_BATCHES.checked_shl(made.saturating_sub(1).min(16));
        let left = doubled.unwrap_or(MOST_BATCHES).min(MOST_BATCHES);
        let mut instance = Instance { store, own, prepared: Vec::new(), left, largest: 0, place };
        let done = instance.run(&self.fresh, settings, batch)?;
        self.lock().figures.prepared += u64::from(done.prepared);
        Ok((instance, done.hashes))
    }

    /// Puts an instance back, unless enough wait.
    fn keep(&self, mut instance: Instance) {
        let mut waiting = self.lock();
        let wanted = !waiting.figures.stateful && waiting.idle.len() < self.most && instance.left > 0;
        if wanted && instance.place.keep() {
            waiting.idle.push(instance);
        }
    }

    /// The adapter's results depend on what it did before.
    fn found_out(&self, algorithm: &str) {
        let idle = {
            let mut waiting = self.lock();
            waiting.figures.stateful = true;
            std::mem::take(&mut waiting.idle)
        };
        drop(idle);
        tracing::error!(
            plugin = self.fresh.plugin.name(),
            version = %self.fresh.plugin.digest().short(),
            algorithm,
            "this algorithm's hash of one input differs with what it hashed before: each batch has a new instance from \
             now on, which is slow; shares judged before may have been judged wrongly"
        );
    }
}

/// Whether a call failed for want of time or of a place, which differs from one time to the next.
fn is_the_hosts(error: &CallError) -> bool {
    match error {
        CallError::Trap { kind, .. } => matches!(kind, TrapKind::Epoch | TrapKind::Overload),
        CallError::Host { .. } => true,
        CallError::Plugin { .. } => false,
    }
}

/// What a batch came to in an instance.
struct Hashed {
    hashes: millpond_runtime::Done<Vec<u8>>,
    /// Its key was not yet there.
    prepared: bool,
}

impl Instance {
    fn has(&self, batch: &Batch<'_>) -> bool {
        self.prepared.iter().any(|(algorithm, key)| algorithm == batch.algorithm && *key == batch.key)
    }

    /// Whether another key may be prepared in it: a data set takes memory, and there is no call to forget one.
    fn has_room(&self) -> bool {
        self.prepared.len() < KEYS && self.store.data().memory() <= Class::Adapter.limits().memory.base / 2
    }

    fn run(
        &mut self,
        fresh: &Fresh<Beside<PowOnlyPre<Guest>>>,
        settings: usize,
        batch: &Batch<'_>,
    ) -> Result<Hashed, CallError> {
        let Batch { algorithm, key, width, inputs, .. } = batch;
        let named = settings.saturating_add(algorithm.len()).saturating_add(key.len());
        let pow = self.own.millpond_chain_pow();
        self.left = self.left.saturating_sub(1);
        let prepared = !self.has(batch);
        if prepared {
            let function = "pow.prepare";
            let budget = fresh.budget(function, CallSize::bytes(named))?;
            call(&mut self.store, function, budget, |store| pow.call_prepare(store, algorithm, key))?;
            self.prepared.push(((*algorithm).to_owned(), key.clone()));
        }
        let function = "pow.run";
        let bytes = named.saturating_add(inputs.len());
        self.largest = self.largest.max(bytes);
        let mut budget = fresh.budget(function, CallSize::bytes(bytes))?;
        budget.memory = fresh.budget(function, CallSize::bytes(self.largest))?.memory;
        let done = call(&mut self.store, function, budget, |store| {
            pow.call_run(store, algorithm, key, *width, inputs)
        })?;
        let length = batch.count.saturating_mul(32);
        Ok(Hashed { hashes: of_length(function, done, length)?, prepared })
    }
}
