//! Algorithms of an adapter, in instances that are kept.
//!
//! A new instance for each batch would prepare the batch's key each time, a matrix or a data set. So an instance stays,
//! with the keys that were prepared in it: one for each thread that calls at once, and a few in all
//! ([`millpond_runtime::Place::keep`]).
//!
//! The result of a batch is by definition that of a new instance. That a kept one's is the same is the adapter's duty,
//! and is not trusted:
//! - What fails in an instance that has served before is done again in a new one, whose failure or success counts.
//! - After a number of batches in kept instances, whichever and for whatever keys, one is done again in a new instance,
//!   which takes the kept one's place: a few at first, then ever more. Where they differ the adapter keeps state: its
//!   figures say so, the log says so, and each batch has a new instance from then on. What the host could not do again,
//!   for want of time or memory, decides nothing: one of the next batches is held against a new instance then.
//!
//! An instance that nobody asks of for some minutes goes ([`WarmPow::rest`]).

use super::chain::bindings::millpond::chain::types as wit;
use super::chain::pow_bindings::PowOnly;
use super::chain::{Beside, PowOnlyPre, of_length};
use super::fresh::{Fresh, Instantiate};
use crate::Outcome;
use crate::chain::PowFigures;
use millpond_runtime::{CallError, CallSize, Class, Guest, Place, TrapKind, Urgency, call, store};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::Store;

/// Keys that are prepared in one instance: the job's, the one's before and after it, and one more.
const KEYS: usize = 4;
/// Of so many batches in kept instances the last is done again in a new one; after each that came to the same, of twice as
/// many, up to [`MOST_BATCHES`].
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
    check: Check,
}

/// When a kept instance's result is next held against a new one's. Of all instances together: one that is given up for
/// its keys, its memory or its failures must not take the count with it.
struct Check {
    /// Batches in kept instances until then, that one counted.
    left: u32,
    /// Batches from one to the next.
    every: u32,
}

impl Default for Check {
    fn default() -> Self {
        Self { left: FIRST_BATCHES, every: FIRST_BATCHES }
    }
}

impl Check {
    /// Counts a batch; whether it is the one to check.
    fn is_due(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        let due = self.left == 0;
        if due {
            self.left = self.every;
        }
        due
    }

    /// It came to the same: the next one is later.
    fn agreed(&mut self) {
        let every = self.every.saturating_mul(2).min(MOST_BATCHES);
        self.left = self.left.saturating_add(every.saturating_sub(self.every));
        self.every = every;
    }

    /// Nothing came of it: another batch has its turn soon, but not each batch while the host is overloaded.
    fn undecided(&mut self) {
        self.left = FIRST_BATCHES;
    }
}

/// An instance, described, with the keys that were prepared in it.
struct Instance {
    store: Store<Guest>,
    own: PowOnly,
    prepared: Vec<(String, Vec<u8>)>,
    /// When it served last.
    served: Instant,
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
        let anew = || {
            let (instance, done) = self.anew(given, settings, batch)?;
            self.keep(instance);
            Ok(done)
        };
        let Some((mut warm, check)) = self.take(batch) else { return anew() };
        match warm.run(&self.fresh, settings, batch) {
            Ok(done) if check => {
                drop(warm);
                self.check(given, settings, batch, done)
            }
            Ok(done) => {
                self.lock().figures.prepared += u64::from(done.prepared);
                self.keep(warm);
                Ok(done.hashes)
            }
            Err(_) => {
                drop(warm);
                let mut waiting = self.lock();
                waiting.figures.again += 1;
                if check {
                    waiting.check.undecided();
                }
                drop(waiting);
                anew()
            }
        }
    }

    /// Holds what a kept instance came to against a new one, which is kept in its place.
    fn check(
        &self,
        given: &wit::Settings,
        settings: usize,
        batch: &Batch<'_>,
        warm: Hashed,
    ) -> Outcome<Vec<u8>> {
        self.lock().figures.prepared += u64::from(warm.prepared);
        let mut again = self.anew(given, settings, batch);
        if again.as_ref().is_err_and(|error| blame(error) == Blame::Unknown) {
            again = self.anew(given, settings, batch);
        }
        match again {
            Ok((instance, done)) => {
                if done.value == warm.hashes.value {
                    let mut waiting = self.lock();
                    waiting.figures.checked += 1;
                    waiting.check.agreed();
                } else {
                    self.found_out(batch.algorithm);
                }
                self.keep(instance);
                Ok(done)
            }
            Err(error) => match blame(&error) {
                // What the host cannot do now says nothing about the batch.
                Blame::Host => {
                    self.lock().check.undecided();
                    Ok(warm.hashes)
                }
                Blame::Unknown => {
                    self.lock().check.undecided();
                    Err(error)
                }
                Blame::Plugin => {
                    self.found_out(batch.algorithm);
                    Err(error)
                }
            },
        }
    }

    /// Drops the instances that have served nobody for longer than this.
    pub(super) fn rest(&self, after: Duration) {
        let mut waiting = self.lock();
        let (gone, idle) =
            std::mem::take(&mut waiting.idle).into_iter().partition(|one| one.served.elapsed() > after);
        waiting.idle = idle;
        drop(waiting);
        // Outside of the lock: memory is given back to the system.
        drop::<Vec<Instance>>(gone);
    }

    /// An instance that waits, and whether its result is to be checked: one in which the key is prepared, or else the one
    /// that served last and has room for one more. Where all are full, the oldest of them goes.
    fn take(&self, batch: &Batch<'_>) -> Option<(Instance, bool)> {
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
            Some(at) => {
                let instance = idle.remove(at);
                Some((instance, waiting.check.is_due()))
            }
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
        self.lock().figures.instances += 1;
        let mut store = store(&self.fresh.plugin, budget, self.fresh.log.clone());
        let described = call(&mut store, function, budget, |store| {
            let (main, own) = self.fresh.pre.instantiate(&mut *store)?;
            Ok(main.millpond_chain_adapter().call_describe(store, given)?.map(|_| own))
        })?;
        let own = described.value;
        let mut instance =
            Instance { store, own, prepared: Vec::new(), served: Instant::now(), largest: 0, place };
        let done = instance.run(&self.fresh, settings, batch)?;
        self.lock().figures.prepared += u64::from(done.prepared);
        Ok((instance, done.hashes))
    }

    /// Puts an instance back, unless enough wait.
    fn keep(&self, mut instance: Instance) {
        let mut waiting = self.lock();
        let wanted = !waiting.figures.stateful && waiting.idle.len() < self.most;
        if wanted && instance.place.keep() {
            instance.served = Instant::now();
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

/// Whose doing a new instance's failure is, where a kept one did the same batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// The plugin's: it would fail so each time.
    Plugin,
    /// The host's, for want of time, of memory or of a place, which differs from one time to the next.
    Host,
    /// It cannot be told.
    Unknown,
}

fn blame(error: &CallError) -> Blame {
    match error {
        CallError::Trap { kind: TrapKind::Epoch | TrapKind::Overload | TrapKind::Machine, .. }
        | CallError::Host { .. } => Blame::Host,
        CallError::Trap { kind: TrapKind::Other, .. } => Blame::Unknown,
        CallError::Trap {
            kind: TrapKind::Fuel | TrapKind::Memory | TrapKind::Stack | TrapKind::Hostcall,
            ..
        }
        | CallError::Plugin { .. } => Blame::Plugin,
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
