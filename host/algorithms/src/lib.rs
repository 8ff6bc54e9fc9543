//! Hash functions and proof-of-work algorithms by name.
//!
//! A recipe document names an algorithm; [`Algorithms`] finds it. Some algorithms are keyed: a key is prepared once
//! (a matrix, a dataset, a personalisation) into a [`Context`], which then hashes any number of inputs. This crate
//! knows algorithms and their names, never which chain uses them, and it never panics on an input of any length.

mod blake;
mod blake256;
mod cache;
mod eaglesong;
mod equihash;
mod heavyhash;
mod keccak;
mod lanes;
mod registry;
mod scrypt;
mod sha;

pub use cache::{CONTEXT_BUDGET, CacheFigures, ContextCache};
pub use lanes::Processor;
pub use registry::Algorithms;

use std::sync::Arc;

/// The longest output of any algorithm, in bytes: an algorithm with several outputs (a hash and a mix) puts them one
/// after the other, and the recipe cuts them apart with `slice`.
pub const MAX_OUTPUT: usize = 64;

/// The longest key any algorithm takes, in bytes.
pub const MAX_KEY: usize = 1024;

/// What one hash costs, which decides where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Some microseconds at most: judged where the share was read.
    Light,
    /// Tens of microseconds and more: judged in batches on the validator's threads.
    Heavy,
}

/// Whether an algorithm takes a key, and when its context may be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// No key: one context for all.
    None,
    /// A key whose preparation costs about as much as a hash: may differ per session.
    Cheap,
    /// A key whose preparation costs many hashes (a matrix, a cache): per job at most. Left to a session or a share
    /// it would be a way to exhaust the pool.
    Dear,
}

/// Why a hash, or a context for it, could not be had. Native algorithms without a key never fail; one exported by a
/// plugin can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmError {
    /// The key does not have the length that the algorithm needs.
    #[error("{algorithm} needs a key of {needed} bytes, not {given}: correct the key in the recipe")]
    Key {
        /// The algorithm's name.
        algorithm: Box<str>,
        /// What it takes, in words.
        needed: &'static str,
        /// What it was given.
        given: usize,
    },
    /// The caller's output buffer does not have the algorithm's output length.
    #[error("the output buffer of {algorithm} has {given} bytes; it needs exactly {needed} for each input")]
    Output {
        /// The algorithm's name.
        algorithm: Box<str>,
        /// The output length times the number of inputs.
        needed: usize,
        /// The buffer's length.
        given: usize,
    },
    /// The algorithm itself failed, which only one that is not native can do.
    #[error("{algorithm} failed: {reason}")]
    Failed {
        /// The algorithm's name.
        algorithm: Box<str>,
        /// The reason as the algorithm's implementation gives it.
        reason: String,
    },
}

/// An algorithm, found by its name. Implemented by this crate for native ones and by the host for those that a plugin
/// exports.
pub trait Algorithm: Send + Sync {
    /// The name that documents use: letters, digits and hyphens.
    fn name(&self) -> &str;

    /// Bytes of output, 1 to [`MAX_OUTPUT`]; the same for every input.
    fn output_len(&self) -> usize {
        32
    }

    /// Whether a key is needed.
    fn key(&self) -> Key {
        Key::None
    }

    /// What one hash costs.
    fn cost(&self) -> Cost {
        Cost::Light
    }

    /// Prepares a key. Called once per document, job or session, never per share. The key is empty where
    /// [`Algorithm::key`] is [`Key::None`].
    ///
    /// # Errors
    /// When the key does not fit the algorithm.
    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError>;
}

/// An algorithm with its key prepared. Shared between threads; hashing changes nothing in it.
pub trait Context: Send + Sync {
    /// Bytes of memory that it holds, for the budget of a [`ContextCache`]: what is worth counting, a matrix or a
    /// dataset.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }

    /// Hashes one input of any length into `out`, which must have the algorithm's output length.
    ///
    /// # Errors
    /// When `out` has another length, or an algorithm that is not native fails.
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError>;

    /// `acc = hash(acc item)` for one item after the other: the path of a tree, whose hash has 32 bytes.
    ///
    /// # Errors
    /// As [`Context::hash`].
    fn fold(&self, acc: &mut [u8; 32], items: &[[u8; 32]]) -> Result<(), AlgorithmError> {
        let mut pair = [0; 64];
        for item in items {
            let (left, right) = pair.split_at_mut(32);
            left.copy_from_slice(acc);
            right.copy_from_slice(item);
            self.hash(&pair, acc)?;
        }
        Ok(())
    }

    /// Takes the beginning that many inputs have in common ahead. Returns how many of its bytes are taken, at most as
    /// many as it has, and what hashes an input without them to what the whole input hashes to. `None` where nothing
    /// would be saved.
    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        let _ = beginning;
        None
    }

    /// Whether several inputs hashed together take so much less time than one by one that it is worth collecting them.
    fn gains_together(&self) -> bool {
        false
    }

    /// Hashes inputs of one length, `width` bytes each, into outputs one after the other. An implementation that can
    /// work on several at once overrides this; the result is the same. A width of 0 hashes the empty input once.
    ///
    /// # Errors
    /// As [`Context::hash`]; also when `inputs` is no multiple of `width` or `out` does not fit.
    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let count = inputs.len().checked_div(width).unwrap_or(1);
        let uneven = width != 0 && !inputs.len().is_multiple_of(width);
        if count == 0 && out.is_empty() && !uneven {
            return Ok(());
        }
        if uneven || count == 0 || !out.len().is_multiple_of(count) {
            return Err(AlgorithmError::Output {
                algorithm: "a batch".into(),
                needed: inputs.len(),
                given: out.len(),
            });
        }
        if width == 0 {
            return self.hash(&[], out);
        }
        let each = out.len() / count;
        inputs
            .chunks_exact(width)
            .zip(out.chunks_exact_mut(each.max(1)))
            .try_for_each(|(i, o)| self.hash(i, o))
    }
}

/// A check of a proof that is no hash below a target (Equihash): named by a recipe's `verify` line. Native ones never
/// panic, whatever they are given.
pub trait Verifier: Send + Sync {
    /// The name that documents use, with the parameters in it (`equihash-200-9`).
    fn name(&self) -> &str;

    /// What one check costs.
    fn cost(&self) -> Cost {
        Cost::Heavy
    }

    /// Whether `proof` is valid for `input`. Both come from a miner: any length, any content.
    fn verify(&self, input: &[u8], proof: &[u8]) -> bool;
}

/// A native algorithm without a key: a name and a function that fills its output, 32 bytes unless said otherwise.
struct Plain<const N: usize = 32> {
    name: &'static str,
    cost: Cost,
    hash: fn(&[u8]) -> [u8; N],
}

impl<const N: usize> Algorithm for Plain<N> {
    fn name(&self) -> &str {
        self.name
    }

    fn output_len(&self) -> usize {
        N
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        no_key(self.name, key)?;
        Ok(Arc::new(PlainContext { name: self.name, hash: self.hash }))
    }
}

struct PlainContext<const N: usize> {
    name: &'static str,
    hash: fn(&[u8]) -> [u8; N],
}

impl<const N: usize> Context for PlainContext<N> {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        put(self.name, (self.hash)(input), out)
    }
}

/// Copies a hash into the caller's buffer, which must have its length.
fn put<const N: usize>(name: &str, hash: [u8; N], out: &mut [u8]) -> Result<(), AlgorithmError> {
    let given = out.len();
    let out: &mut [u8; N] = out.try_into().map_err(|_| AlgorithmError::Output {
        algorithm: name.into(),
        needed: hash.len(),
        given,
    })?;
    *out = hash;
    Ok(())
}

/// Refuses a key for an algorithm that has none.
fn no_key(name: &str, key: &[u8]) -> Result<(), AlgorithmError> {
    if key.is_empty() {
        return Ok(());
    }
    Err(AlgorithmError::Key { algorithm: name.into(), needed: "0", given: key.len() })
}

/// Inputs of one length, one after the other.
#[derive(Clone, Copy)]
struct Inputs<'i> {
    width: usize,
    bytes: &'i [u8],
    count: usize,
}

impl<'i> Inputs<'i> {
    /// An input; the last one where there are fewer, so that every lane has something to do.
    #[inline(always)]
    fn get(&self, i: usize) -> &'i [u8] {
        let start = i.min(self.count.saturating_sub(1)).wrapping_mul(self.width);
        self.bytes.get(start..).and_then(|rest| rest.get(..self.width)).unwrap_or_default()
    }
}

/// A batch for an algorithm of 32 bytes of output, its lengths checked: as many outputs as inputs.
struct Batch<'i> {
    inputs: Inputs<'i>,
    out: &'i mut [[u8; 32]],
}

impl<'i> Batch<'i> {
    fn new(name: &str, width: usize, bytes: &'i [u8], out: &'i mut [u8]) -> Result<Self, AlgorithmError> {
        let (given, rest) = (out.len(), bytes.len().checked_rem(width).unwrap_or(0));
        let count = bytes.len().checked_div(width).unwrap_or(1);
        let (out, more) = out.as_chunks_mut::<32>();
        if rest != 0 || !more.is_empty() || out.len() != count {
            let needed = count.saturating_mul(32);
            return Err(AlgorithmError::Output { algorithm: name.into(), needed, given });
        }
        Ok(Self { inputs: Inputs { width, bytes, count }, out })
    }
}
