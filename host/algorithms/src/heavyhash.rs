//! kHeavyHash: cSHAKE256, a 64x64 matrix of nibbles drawn from the key, cSHAKE256.
//!
//! The key is the header's hash without time and nonce (32 bytes); the input is whatever the first cSHAKE256 takes
//! (header hash, time, 32 zero bytes, nonce). The order of the floating-point operations in [`rank`] is part of the
//! algorithm: which matrices count as singular depends on it.

use crate::keccak::cshake256;
use crate::{Algorithm, AlgorithmError, Context, Key, put};
use std::sync::Arc;

const NAME: &str = "kheavyhash";
const SIZE: usize = 64;
/// Below this a pivot counts as zero.
const EPSILON: f64 = 1e-9;
/// A matrix of nibbles is regular with overwhelming probability; what needs more draws than this is refused.
const MAX_DRAWS: usize = 64;

type Matrix = [[u8; SIZE]; SIZE];

pub(crate) fn all() -> Vec<Arc<dyn Algorithm>> {
    vec![Arc::new(KHeavyHash)]
}

struct KHeavyHash;

impl Algorithm for KHeavyHash {
    fn name(&self) -> &str {
        NAME
    }

    fn key(&self) -> Key {
        Key::Dear
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        let seed: &[u8; 32] = key.try_into().map_err(|_| AlgorithmError::Key {
            algorithm: NAME.into(),
            needed: "32",
            given: key.len(),
        })?;
        let mut random = Xoshiro256PlusPlus::new(seed);
        for _ in 0..MAX_DRAWS {
            let matrix = draw(&mut random);
            if rank(&matrix) == SIZE {
                return Ok(Arc::new(HeavyContext(Box::new(matrix))));
            }
        }
        Err(AlgorithmError::Failed {
            algorithm: NAME.into(),
            reason: "no regular matrix from this key".into(),
        })
    }
}

struct HeavyContext(Box<Matrix>);

impl Context for HeavyContext {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let first = cshake256(b"ProofOfWorkHash", input);
        put(NAME, cshake256(b"HeavyHash", &multiply(&self.0, &first)), out)
    }
}

/// The product of the matrix with the hash's nibbles, two rows to a byte, XORed with the hash.
fn multiply(matrix: &Matrix, hash: &[u8; 32]) -> [u8; 32] {
    let mut vector = [0_u8; SIZE];
    for (nibbles, byte) in vector.as_chunks_mut::<2>().0.iter_mut().zip(hash) {
        *nibbles = [byte >> 4, byte & 0x0f];
    }
    // 64 products of two nibbles: at most 14,400, so 16 bits hold a sum and its top 4 of 14 bits are a nibble.
    let row = |row: &[u8; SIZE]| -> u16 {
        row.iter().zip(&vector).map(|(a, b)| u16::from(*a) * u16::from(*b)).sum()
    };
    let mut product = *hash;
    for (byte, [high, low]) in product.iter_mut().zip(matrix.as_chunks::<2>().0) {
        *byte ^= (((row(high) >> 10) << 4) | (row(low) >> 10)) as u8;
    }
    product
}

/// Fills a matrix: each random number gives 16 nibbles, lowest first.
fn draw(random: &mut Xoshiro256PlusPlus) -> Matrix {
    let mut matrix = [[0; SIZE]; SIZE];
    for row in &mut matrix {
        for sixteen in row.as_chunks_mut::<16>().0 {
            let value = random.next();
            for (i, nibble) in sixteen.iter_mut().enumerate() {
                *nibble = (value >> (4 * i) & 0x0f) as u8;
            }
        }
    }
    matrix
}

/// The rank by Gauss-Jordan elimination over doubles, in the order of operations that the chain's nodes use.
#[expect(clippy::indexing_slicing, reason = "every index is below SIZE, the length of each dimension")]
fn rank(matrix: &Matrix) -> usize {
    let mut m = matrix.map(|row| row.map(f64::from));
    let mut used = [false; SIZE];
    let mut rank = 0;
    for column in 0..SIZE {
        let Some(pivot) = (0..SIZE).find(|row| !used[*row] && m[*row][column].abs() > EPSILON) else {
            continue;
        };
        rank += 1;
        used[pivot] = true;
        for k in column + 1..SIZE {
            m[pivot][k] /= m[pivot][column];
        }
        let pivot_row = m[pivot];
        for (r, row) in m.iter_mut().enumerate() {
            if r != pivot && row[column].abs() > EPSILON {
                for k in column + 1..SIZE {
                    row[k] -= pivot_row[k] * row[column];
                }
            }
        }
    }
    rank
}

/// xoshiro256++ 1.0 by Blackman and Vigna, seeded with four little-endian words.
struct Xoshiro256PlusPlus([u64; 4]);

impl Xoshiro256PlusPlus {
    fn new(seed: &[u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self(state)
    }

    fn next(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.0;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_singular_matrix_is_told_from_a_regular_one() {
        let mut identity = [[0; SIZE]; SIZE];
        for (i, row) in identity.iter_mut().enumerate() {
            row[i] = 1;
        }
        assert_eq!(rank(&identity), SIZE);
        identity[5] = identity[6];
        assert_eq!(rank(&identity), SIZE - 1);
        assert_eq!(rank(&[[7; SIZE]; SIZE]), 1);
    }
}
