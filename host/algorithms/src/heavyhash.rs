//! kHeavyHash: cSHAKE256, a 64x64 matrix of nibbles drawn from the key, cSHAKE256.
//!
//! The key is the header's hash without time and nonce (32 bytes); the input is whatever the first cSHAKE256 takes
//! (header hash, time, 32 zero bytes, nonce). The order of the floating-point operations in [`rank`] is part of the
//! algorithm: which matrices count as singular depends on it.

use crate::keccak::Sponge;
use crate::lanes::{Kernel, Lanes, Processor, Word64};
use crate::{Algorithm, AlgorithmError, Batch, Context, Key, put};
use std::sync::Arc;

const NAME: &str = "kheavyhash";
const SIZE: usize = 64;
/// Below this a pivot counts as zero.
const EPSILON: f64 = 1e-9;
/// A matrix of nibbles is regular with overwhelming probability; what needs more draws than this is refused.
const MAX_DRAWS: usize = 64;
/// Words of 64 bits in the widest register that is used.
const MAX_LANES: usize = 4;

type Matrix = [[u8; SIZE]; SIZE];

pub(crate) fn all(processor: Processor) -> Vec<Arc<dyn Algorithm>> {
    vec![Arc::new(KHeavyHash(processor))]
}

struct KHeavyHash(Processor);

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
                return Ok(Arc::new(HeavyContext {
                    pairs: paired(&matrix),
                    first: Sponge::cshake256(b"ProofOfWorkHash"),
                    second: Sponge::cshake256(b"HeavyHash"),
                    processor: self.0,
                }));
            }
        }
        Err(AlgorithmError::Failed {
            algorithm: NAME.into(),
            reason: "no regular matrix from this key".into(),
        })
    }
}

/// Two columns together: a hash's byte is two nibbles, so one step takes a byte.
type Pairs = [[u8; 2 * SIZE]; SIZE / 2];

fn paired(matrix: &Matrix) -> Pairs {
    let mut pairs = [[0; 2 * SIZE]; SIZE / 2];
    for (row, values) in matrix.iter().enumerate() {
        for (columns, two) in pairs.iter_mut().zip(values.as_chunks::<2>().0) {
            if let Some(place) = columns.as_chunks_mut::<2>().0.get_mut(row) {
                *place = *two;
            }
        }
    }
    pairs
}

/// A key's matrix, and both sponges with their customisation absorbed.
struct HeavyContext {
    pairs: Pairs,
    first: Sponge,
    second: Sponge,
    processor: Processor,
}

impl Context for HeavyContext {
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }

    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let product = self.processor.run(Multiply { pairs: &self.pairs, hash: self.first.hash(input) });
        put(NAME, self.second.hash(&product), out)
    }

    fn gains_together(&self) -> bool {
        self.processor.has_lanes()
    }

    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let mut batch = Batch::new(NAME, width, inputs, out)?;
        self.processor.run(Together { context: self, batch: &mut batch });
        Ok(())
    }
}

struct Multiply<'p> {
    pairs: &'p Pairs,
    hash: [u8; 32],
}

impl Kernel for Multiply<'_> {
    type Output = [u8; 32];

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> [u8; 32] {
        multiply(lanes, self.pairs, &self.hash)
    }
}

/// The product of the matrix with the hash's nibbles, two rows to a byte, XORed with the hash.
#[inline(always)]
fn multiply<L: Lanes>(lanes: L, pairs: &Pairs, hash: &[u8; 32]) -> [u8; 32] {
    // A sum is at most 14,400: the top 4 of its 14 bits are a nibble.
    let sums = lanes.multiply(pairs, hash);
    let mut product = *hash;
    for (byte, [high, low]) in product.iter_mut().zip(sums.as_chunks::<2>().0) {
        *byte ^= ((high >> 10) << 4 | low >> 10) as u8;
    }
    product
}

struct Together<'b, 'i> {
    context: &'b HeavyContext,
    batch: &'b mut Batch<'i>,
}

impl Kernel for Together<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let HeavyContext { pairs, first, second, .. } = self.context;
        let Batch { inputs, out } = self.batch;
        for (group, out) in out.chunks_mut(L::W64::LANES).enumerate() {
            let input = |lane: usize| inputs.get(group * L::W64::LANES + lane);
            if let [out] = out {
                *out = second.hash(&multiply(lanes, pairs, &first.hash(input(0))));
                continue;
            }
            first.squeeze(lanes, out, inputs.width, input);
            let mut products = [[0; 32]; MAX_LANES];
            for (product, hash) in products.iter_mut().zip(out.iter()) {
                *product = multiply(lanes, pairs, hash);
            }
            second.squeeze(lanes, out, 32, |lane| products.get(lane).map_or(&[], |product| &product[..]));
        }
    }
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
