//! SHA-256, single and double.
//!
//! The padding is written here around the crate's compression: a pool hashes short inputs by the million, and most
//! are 64, 80 or 32 bytes, where buffering costs as much as a block.

use crate::{Algorithm, Cost, Plain};
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
    vec![
        Arc::new(Plain { name: "sha256", cost: Cost::Light, hash: sha256 }),
        Arc::new(Plain { name: "sha256d", cost: Cost::Light, hash: sha256d }),
    ]
}

fn sha256(input: &[u8]) -> [u8; 32] {
    bytes(&digest(input))
}

/// SHA-256 of SHA-256.
fn sha256d(input: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if let Some(first) = block.first_chunk_mut::<32>() {
        *first = bytes(&digest(input));
    }
    if let [_, tail] = block.as_chunks_mut::<32>().0 {
        *tail = SECOND_TAIL;
    }
    let mut state = START;
    compress256(&mut state, &[GenericArray::from(block)]);
    bytes(&state)
}

/// The state after an input and its padding.
fn digest(input: &[u8]) -> [u32; 8] {
    let mut state = START;
    let (whole, rest) = input.as_chunks::<64>();
    for block in whole {
        compress256(&mut state, std::slice::from_ref(GenericArray::from_slice(block)));
    }
    // The rest, a one bit, zeros, the length in bits: one block or two.
    let mut padded = [0; 128];
    let blocks = if rest.len() < 56 { 1 } else { 2 };
    let bits = (input.len() as u64).wrapping_mul(8).to_be_bytes();
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
