//! Prepared keys kept: a matrix or a dataset is made once for each key, whoever asks for it and however often.
//!
//! Jobs are made from templates every few seconds, for each payee and each restart of an adapter, and many of them have
//! the key of the job before. A key is prepared when a job is made, never when its first share comes.

use crate::{Algorithm, AlgorithmError, Context};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of contexts that are kept unless told otherwise: some thousand matrices.
pub const CONTEXT_BUDGET: usize = 64 << 20;
/// Contexts kept at most, however small they are.
const MOST: usize = 4096;

/// Contexts by algorithm and key, the least lately used forgotten first. A forgotten one lives on in the jobs that hold
/// it. Shared between threads; nobody waits for another key's preparation.
#[derive(Debug)]
pub struct ContextCache {
    budget: usize,
    kept: Mutex<Kept>,
}

/// What a cache has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Contexts that were there, or were being made by another.
    pub hits: u64,
    /// Contexts that had to be made.
    pub misses: u64,
    /// Contexts that were forgotten for others.
    pub evicted: u64,
    /// Contexts held.
    pub contexts: usize,
    /// Bytes they hold.
    pub bytes: usize,
}

/// Filled by the first who comes; who comes meanwhile waits for him.
type Place = Arc<OnceLock<Result<Arc<dyn Context>, AlgorithmError>>>;
type Name = (Box<str>, Box<[u8]>);

#[derive(Default)]
struct Kept {
    places: BTreeMap<Name, Slot>,
    /// Counts calls: the smallest of a slot is the least lately used.
    clock: u64,
    figures: CacheFigures,
}

struct Slot {
    place: Place,
    used: u64,
    bytes: usize,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.figures.fmt(f)
    }
}

impl Default for ContextCache {
    fn default() -> Self {
        Self::new(CONTEXT_BUDGET)
    }
}

impl ContextCache {
    /// Keeps contexts of at most so many bytes together. One that is larger than that is made for each who asks.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self { budget, kept: Mutex::default() }
    }

    /// The bytes that its contexts may have together.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// What it has done and holds.
    #[must_use]
    pub fn figures(&self) -> CacheFigures {
        self.lock().figures
    }

    /// The context of a key, made now unless it is there.
    ///
    /// # Errors
    /// When the key does not fit the algorithm. That is not kept.
    pub fn prepare(&self, algorithm: &dyn Algorithm, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        let name: Name = (algorithm.name().into(), key.into());
        let place = self.lock().find(&name);
        let mut made = false;
        let prepared = place.get_or_init(|| {
            made = true;
            algorithm.prepare(key)
        });
        if made {
            self.lock().settle(
                &name,
                &place,
                prepared.as_ref().ok().map(|context| context.bytes()),
                self.budget,
            );
        }
        prepared.clone()
    }

    /// What is behind the lock is whole at every step, so that a panic elsewhere takes nothing from it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, name: &Name) -> Place {
        self.clock += 1;
        if let Some(slot) = self.places.get_mut(name) {
            slot.used = self.clock;
            self.figures.hits += 1;
            return Arc::clone(&slot.place);
        }
        self.figures.misses += 1;
        let place = Place::default();
        self.places.insert(name.clone(), Slot { place: Arc::clone(&place), used: self.clock, bytes: 0 });
        self.figures.contexts = self.places.len();
        place
    }

    /// Counts a context that was made, or forgets a key that was refused, and makes room.
    fn settle(&mut self, name: &Name, place: &Place, bytes: Option<usize>, budget: usize) {
        // Forgotten meanwhile, and perhaps begun anew by another: not ours to count.
        let Some(slot) = self.places.get_mut(name).filter(|slot| Arc::ptr_eq(&slot.place, place)) else {
            return;
        };
        match bytes {
            Some(bytes) => {
                slot.bytes = bytes.saturating_add(name.1.len());
                self.figures.bytes = self.figures.bytes.saturating_add(slot.bytes);
            }
            None => {
                self.places.remove(name);
            }
        }
        while self.figures.bytes > budget || self.places.len() > MOST {
            let oldest = self.places.iter().min_by_key(|(_, slot)| slot.used).map(|(name, _)| name.clone());
            let Some(gone) = oldest.and_then(|name| self.places.remove(&name)) else { break };
            self.figures.bytes = self.figures.bytes.saturating_sub(gone.bytes);
            self.figures.evicted = self.figures.evicted.saturating_add(1);
        }
        self.figures.contexts = self.places.len();
    }
}
