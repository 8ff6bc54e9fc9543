//! The BLAKE family: BLAKE-256 with 14 rounds, BLAKE2b of 256 bits (plain, keyed,
//! personalised) and of 512, BLAKE3.

use crate::blake256::blake256;
use crate::{Algorithm, AlgorithmError, Context, Cost, Key, Plain, put};
use blake2b_simd::Params;
use std::sync::Arc;

pub(crate) fn all() -> Vec<Arc<dyn Algorithm>> {
    vec![
        Arc::new(Plain { name: "blake256", cost: Cost::Light, hash: blake256 }),
        Arc::new(Plain { name: "blake3", cost: Cost::Light, hash: |input| *blake3::hash(input).as_bytes() }),
        Arc::new(Plain { name: "blake2b-256", cost: Cost::Light, hash: blake2b_256 }),
        Arc::new(Plain { name: "blake2b-512", cost: Cost::Light, hash: blake2b_512 }),
        Arc::new(Blake2b { name: "blake2b-256-keyed", needed: "1 to 64", longest: 64, set: Params::key }),
        Arc::new(Blake2b {
            name: "blake2b-256-personal",
            needed: "1 to 16",
            longest: 16,
            set: Params::personal,
        }),
    ]
}

fn blake2b_256(input: &[u8]) -> [u8; 32] {
    finish(Params::new().hash_length(32), input)
}

fn blake2b_512(input: &[u8]) -> [u8; 64] {
    finish(Params::new().hash_length(64), input)
}

/// BLAKE2b-256 personalised with at most 16 bytes, padded with zeros (RFC 7693 has the parameter block).
pub(crate) fn blake2b_256_personal(personal: &[u8; 16], input: &[u8]) -> [u8; 32] {
    finish(Params::new().hash_length(32).personal(personal), input)
}

fn finish<const N: usize>(params: &Params, input: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(params.hash(input).as_bytes()) {
        *to = *from;
    }
    out
}

/// BLAKE2b-256 with a key or a personalisation, which the key of the recipe becomes.
struct Blake2b {
    name: &'static str,
    needed: &'static str,
    longest: usize,
    set: for<'p> fn(&'p mut Params, &[u8]) -> &'p mut Params,
}

impl Algorithm for Blake2b {
    fn name(&self) -> &str {
        self.name
    }

    fn key(&self) -> Key {
        Key::Cheap
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        // The crate asserts these lengths; an empty key would mean no key.
        if key.is_empty() || key.len() > self.longest {
            return Err(AlgorithmError::Key {
                algorithm: self.name.into(),
                needed: self.needed,
                given: key.len(),
            });
        }
        let mut params = Params::new();
        (self.set)(params.hash_length(32), key);
        Ok(Arc::new(Blake2bContext { name: self.name, params }))
    }
}

struct Blake2bContext {
    name: &'static str,
    params: Params,
}

impl Context for Blake2bContext {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        put::<32>(self.name, finish(&self.params, input), out)
    }
}
