//! SHA-256, single and double.
//!
//! The padding is written here around the crate's compression: a pool hashes short inputs by the million, and most
//! are 64, 80 or 32 bytes, where buffering costs as much as a block.

use crate::{Algorithm, AlgorithmError, Context, no_key, put};
use sha2::compress256;
use sha2::digest::generic_array::GenericArray;
use std::sync::Arc;

/// The square roots of the first eight primes (FIPS 180-4, 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// What follows 32 bytes in their only block: a one bit, zeros, the length of 256 bits.
const SECOND_TAIL: [u8; 32] = {
    let mut tail = [0; 32];
    tail[0] = 0x80;
    tail[30] = 1;
    tail
};

pub(crate) fn all() -> Vec<Arc<dyn Algorithm>> {
    vec![Arc::new(Sha { name: "sha256", twice: false }), Arc::new(Sha { name: "sha256d", twice: true })]
}

/// SHA-256, or SHA-256 of SHA-256.
struct Sha {
    name: &'static str,
    twice: bool,
}

impl Algorithm for Sha {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        no_key(self.name, key)?;
        Ok(Arc::new(Begun { name: self.name, twice: self.twice, state: START, taken: 0 }))
    }
}

/// SHA-256 behind a number of whole blocks, none to begin with.
struct Begun {
    name: &'static str,
    twice: bool,
    state: [u32; 8],
    /// Bytes of those blocks.
    taken: usize,
}

impl Context for Begun {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let once = digest(self.state, self.taken, input);
        put(self.name, if self.twice { again(&once) } else { bytes(&once) }, out)
    }

    fn fold(&self, acc: &mut [u8; 32], items: &[[u8; 32]]) -> Result<(), AlgorithmError> {
        let mut pair = [0; 64];
        for item in items {
            if let [left, right] = pair.as_chunks_mut::<32>().0 {
                (*left, *right) = (*acc, *item);
            }
            let once = digest(self.state, self.taken, &pair);
            *acc = if self.twice { again(&once) } else { bytes(&once) };
        }
        Ok(())
    }

    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        let blocks = beginning.as_chunks::<64>().0;
        if blocks.is_empty() {
            return None;
        }
        let mut state = self.state;
        for block in blocks {
            compress256(&mut state, std::slice::from_ref(GenericArray::from_slice(block)));
        }
        let taken = self.taken.checked_add(blocks.len() * 64)?;
        Some((blocks.len() * 64, Arc::new(Self { name: self.name, twice: self.twice, state, taken })))
    }
}

/// SHA-256 of a SHA-256.
fn again(once: &[u32; 8]) -> [u8; 32] {
    let mut block = [0; 64];
    if let Some(first) = block.first_chunk_mut::<32>() {
        *first = bytes(once);
    }
    if let [_, tail] = block.as_chunks_mut::<32>().0 {
        *tail = SECOND_TAIL;
    }
    let mut state = START;
    compress256(&mut state, &[GenericArray::from(block)]);
    bytes(&state)
}

/// The state after an input and its padding, where `taken` bytes came before it and led to `state`.
#[inline]
fn digest(mut state: [u32; 8], taken: usize, input: &[u8]) -> [u32; 8] {
    let (whole, rest) = input.as_chunks::<64>();
    for block in whole {
        compress256(&mut state, std::slice::from_ref(GenericArray::from_slice(block)));
    }
    // The rest, a one bit, zeros, the length in bits: one block or two.
    let mut padded = [0; 128];
    let blocks = if rest.len() < 56 { 1 } else { 2 };
    let bits = (taken as u64).wrapping_add(input.len() as u64).wrapping_mul(8).to_be_bytes();
    let (data, behind) = padded.split_at_mut(rest.len().min(63));
    data.copy_from_slice(rest);
    if let Some(first) = behind.first_mut() {
        *first = 0x80;
    }
    for (i, block) in padded.as_chunks_mut::<64>().0.iter_mut().enumerate().take(blocks) {
        if i + 1 == blocks
            && let Some(end) = block.last_chunk_mut::<8>()
        {
            *end = bits;
        }
        compress256(&mut state, std::slice::from_ref(GenericArray::from_slice(block)));
    }
    state
}

fn bytes(state: &[u32; 8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    out
}
