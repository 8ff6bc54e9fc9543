//! The BLAKE family: BLAKE-256 with 14 rounds, BLAKE2b of 256 bits (plain, keyed,
//! personalised) and of 512, BLAKE3.

use crate::{Algorithm, AlgorithmError, Context, Cost, Key, Plain, no_key, put};
use blake2b_simd::{Hash, Params, State};
use std::sync::Arc;

pub(crate) fn all() -> Vec<Arc<dyn Algorithm>> {
    vec![
        Arc::new(Plain { name: "blake3", cost: Cost::Light, hash: |input| *blake3::hash(input).as_bytes() }),
        Arc::new(Blake2b::<32> { name: "blake2b-256", key: None }),
        Arc::new(Blake2b::<64> { name: "blake2b-512", key: None }),
        Arc::new(Blake2b::<32> { name: "blake2b-256-keyed", key: Some(("1 to 64", 64, Params::key)) }),
        Arc::new(Blake2b::<32> {
            name: "blake2b-256-personal",
            key: Some(("1 to 16", 16, Params::personal)),
        }),
    ]
}

/// BLAKE2b-256 personalised with at most 16 bytes, padded with zeros (RFC 7693 has the parameter block).
pub(crate) fn blake2b_256_personal(personal: &[u8; 16], input: &[u8]) -> [u8; 32] {
    cut(&Params::new().hash_length(32).personal(personal).hash(input))
}

/// The bytes of a hash whose parameters say that it has so many.
fn cut<const N: usize>(hash: &Hash) -> [u8; N] {
    hash.as_bytes().first_chunk().copied().unwrap_or([0; N])
}

/// What takes a key: its length in words, the longest, and where it goes.
type Keyed = (&'static str, usize, for<'p> fn(&'p mut Params, &[u8]) -> &'p mut Params);

/// BLAKE2b of `N` bytes, with the key of the recipe as its key or personalisation where it takes one.
struct Blake2b<const N: usize> {
    name: &'static str,
    key: Option<Keyed>,
}

impl<const N: usize> Algorithm for Blake2b<N> {
    fn name(&self) -> &str {
        self.name
    }

    fn output_len(&self) -> usize {
        N
    }

    fn key(&self) -> Key {
        if self.key.is_some() { Key::Cheap } else { Key::None }
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        let mut params = Params::new();
        params.hash_length(N);
        match self.key {
            None => no_key(self.name, key)?,
            // The crate asserts these lengths; an empty key would mean no key.
            Some((needed, longest, _)) if key.is_empty() || key.len() > longest => {
                let (algorithm, given) = (self.name.into(), key.len());
                return Err(AlgorithmError::Key { algorithm, needed, given });
            }
            Some((_, _, set)) => {
                set(&mut params, key);
            }
        }
        Ok(Arc::new(Blake2bContext::<N> { name: self.name, params }))
    }
}

struct Blake2bContext<const N: usize> {
    name: &'static str,
    params: Params,
}

impl<const N: usize> Context for Blake2bContext<N> {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        put::<N>(self.name, cut(&self.params.hash(input)), out)
    }

    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        begun::<N>(self.name, self.params.to_state(), beginning)
    }
}

/// Bytes of a block.
const BLOCK: usize = 128;

/// BLAKE2b behind the beginning of a message.
struct Begun<const N: usize> {
    name: &'static str,
    state: State,
}

impl<const N: usize> Context for Begun<N> {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        put::<N>(self.name, cut(&self.state.clone().update(input).finalize()), out)
    }

    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        begun::<N>(self.name, self.state.clone(), beginning)
    }
}

/// Worth it where a block is saved: a state is copied for each hash.
fn begun<const N: usize>(
    name: &'static str,
    mut state: State,
    beginning: &[u8],
) -> Option<(usize, Arc<dyn Context>)> {
    if beginning.len() <= BLOCK {
        return None;
    }
    state.update(beginning);
    Some((beginning.len(), Arc::new(Begun::<N> { name, state })))
}
