//! The registry: which names exist, and what stands behind each.

use crate::cache::{CONTEXT_BUDGET, ContextCache};
use crate::{
    Algorithm, AlgorithmError, Context, Cost, Key, Processor, Verifier, blake, blake256, eaglesong, equihash,
    heavyhash, keccak, scrypt, sha,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Algorithms and verifiers by name. Cheap to clone; what is added to a clone stays in it, so that one pool's plugin
/// cannot replace another pool's algorithm.
#[derive(Clone, Default)]
pub struct Algorithms {
    algorithms: BTreeMap<Box<str>, Arc<dyn Algorithm>>,
    verifiers: BTreeMap<Box<str>, Arc<dyn Verifier>>,
    /// Of the native algorithms whose keys are dear; shared by copies.
    contexts: Arc<ContextCache>,
}

/// A native algorithm whose prepared keys are kept.
struct Keeping {
    algorithm: Arc<dyn Algorithm>,
    contexts: Arc<ContextCache>,
}

impl Algorithm for Keeping {
    fn name(&self) -> &str {
        self.algorithm.name()
    }

    fn output_len(&self) -> usize {
        self.algorithm.output_len()
    }

    fn key(&self) -> Key {
        self.algorithm.key()
    }

    fn cost(&self) -> Cost {
        self.algorithm.cost()
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        self.contexts.prepare(&*self.algorithm, key)
    }
}

impl Algorithms {
    /// No algorithm at all.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every algorithm and verifier that this crate implements, with what this machine's processor can do:
    /// [`Processor::allowed`].
    #[must_use]
    pub fn native() -> Self {
        Self::native_on(Processor::allowed())
    }

    /// As [`Algorithms::native`], with those of the processor's extensions that are named.
    #[must_use]
    pub fn native_on(processor: Processor) -> Self {
        Self::native_within(processor, CONTEXT_BUDGET)
    }

    /// As [`Algorithms::native_on`]; prepared keys that are dear are kept in at most so many bytes.
    #[must_use]
    pub fn native_within(processor: Processor, budget: usize) -> Self {
        let mut all = Self { contexts: Arc::new(ContextCache::new(budget)), ..Self::empty() };
        for algorithm in sha::all(processor)
            .into_iter()
            .chain(scrypt::all(processor))
            .chain(blake::all())
            .chain(blake256::all(processor))
            .chain(keccak::all(processor))
            .chain(heavyhash::all(processor))
            .chain(eaglesong::all(processor))
        {
            let kept: Arc<dyn Algorithm> = match algorithm.key() {
                Key::Dear => Arc::new(Keeping { algorithm, contexts: Arc::clone(&all.contexts) }),
                Key::None | Key::Cheap => algorithm,
            };
            all.algorithms.insert(kept.name().into(), kept);
        }
        for verifier in equihash::all() {
            all.verifiers.insert(verifier.name().into(), verifier);
        }
        all
    }

    /// Adds an algorithm that the host lacks. A name that is taken stays as it is, and the answer is false: a plugin
    /// cannot put its own hash in the place of a native one.
    pub fn add(&mut self, algorithm: Arc<dyn Algorithm>) -> bool {
        let name: Box<str> = algorithm.name().into();
        if self.algorithms.contains_key(&name) {
            return false;
        }
        self.algorithms.insert(name, algorithm);
        true
    }

    /// Adds a verifier; false when the name is taken.
    pub fn add_verifier(&mut self, verifier: Arc<dyn Verifier>) -> bool {
        let name: Box<str> = verifier.name().into();
        if self.verifiers.contains_key(&name) {
            return false;
        }
        self.verifiers.insert(name, verifier);
        true
    }

    /// The prepared keys that are kept. Those of a plugin's algorithms are not: they live as long as their jobs, so that
    /// the plugin goes when its last job does.
    #[must_use]
    pub fn contexts(&self) -> &ContextCache {
        &self.contexts
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<dyn Algorithm>> {
        self.algorithms.get(name).cloned()
    }

    /// The verifier of that name.
    #[must_use]
    pub fn verifier(&self, name: &str) -> Option<Arc<dyn Verifier>> {
        self.verifiers.get(name).cloned()
    }

    /// The names of all algorithms, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.algorithms.keys().map(AsRef::as_ref)
    }

    /// The names of the verifiers that this crate implements.
    #[must_use]
    pub fn native_verifiers() -> Vec<&'static str> {
        equihash::NAMES.to_vec()
    }

    /// The names of all verifiers, sorted.
    pub fn verifier_names(&self) -> impl Iterator<Item = &str> {
        self.verifiers.keys().map(AsRef::as_ref)
    }

    /// Hashes once with an algorithm that needs no key: for rare uses outside the share path. `None` when there is no
    /// such algorithm, when it needs a key, or when it fails.
    #[must_use]
    pub fn hash(&self, name: &str, input: &[u8]) -> Option<Vec<u8>> {
        let algorithm = self.algorithms.get(name)?;
        let mut out = vec![0; algorithm.output_len()];
        algorithm.prepare(&[]).ok()?.hash(input, &mut out).ok()?;
        Some(out)
    }
}

impl std::fmt::Debug for Algorithms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.algorithms.keys()).entries(self.verifiers.keys()).finish()
    }
}
