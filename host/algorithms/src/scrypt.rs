//! scrypt as proof of work: N = 1024, r = 1, p = 1, 32 bytes of output, the input as its own salt (RFC 7914).
//!
//! Salsa20/8 waits for its own results most of the time, and one hash cannot fill a processor: several shares go through
//! it side by side, two to a register and some registers at once. A hash works in 128 KiB, which a thread keeps:
//! memory from the system for each hash would cost a page fault for every 32 rows of it.

use crate::lanes::{Kernel, Lanes, One, Processor, Quad};
use crate::sha::Hmac;
use crate::{Algorithm, AlgorithmError, Batch, Context, Cost, no_key, put};
use std::cell::RefCell;
use std::sync::Arc;

const NAME: &str = "scrypt";
/// Rows of a hash's memory.
const N: usize = 1024;
/// Registers that are worked on at once: with fewer a core waits, with more their words leave the registers.
const REGISTERS: usize = 4;
/// Hashes in a register of the widest kind.
const MAX_LANES: usize = 2;

/// 32 words of a hash, in cache lines of their own: two blocks of Salsa20, each by its diagonals ([`DIAGONALS`]).
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Row([[u32; 4]; 8]);

/// Which words of a block stand together: what a round adds is then in the same place of another four.
const DIAGONALS: [[usize; 4]; 4] = [[0, 5, 10, 15], [4, 9, 14, 3], [8, 13, 2, 7], [12, 1, 6, 11]];

thread_local! {
    static MEMORY: RefCell<Vec<Row>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn all(processor: Processor) -> Vec<Arc<dyn Algorithm>> {
    vec![Arc::new(Scrypt(processor))]
}

#[derive(Clone, Copy)]
struct Scrypt(Processor);

impl Algorithm for Scrypt {
    fn name(&self) -> &str {
        NAME
    }

    fn cost(&self) -> Cost {
        Cost::Heavy
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        no_key(NAME, key)?;
        Ok(Arc::new(*self))
    }
}

impl Context for Scrypt {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let hmac = Hmac::new(input, self.0);
        let mut rows = [stretched(&hmac, input)];
        with_memory(|memory| mix::<One, 1>(One, memory, &mut rows));
        put(NAME, shortened(&hmac, &rows[0]), out)
    }

    fn gains_together(&self) -> bool {
        true
    }

    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let batch = Batch::new(NAME, width, inputs, out)?;
        for (group, out) in batch.out.chunks_mut(MAX_LANES * REGISTERS).enumerate() {
            let input = |i: usize| batch.inputs.get(group * MAX_LANES * REGISTERS + i);
            let hmacs: [Hmac; MAX_LANES * REGISTERS] = std::array::from_fn(|i| Hmac::new(input(i), self.0));
            let mut rows: [Row; MAX_LANES * REGISTERS] = std::array::from_fn(|i| {
                hmacs.get(i).map_or(Row([[0; 4]; 8]), |hmac| stretched(hmac, input(i)))
            });
            if let Some(rows) = rows.get_mut(..out.len()) {
                with_memory(|memory| self.0.run(Together { memory, rows }));
            }
            for ((out, hmac), row) in out.iter_mut().zip(&hmacs).zip(&rows) {
                *out = shortened(hmac, row);
            }
        }
        Ok(())
    }
}

fn with_memory<T>(run: impl FnOnce(&mut Vec<Row>) -> T) -> T {
    MEMORY.with_borrow_mut(run)
}

/// The first PBKDF2 of the input with itself as its salt, one iteration: 128 bytes, a hash's first row.
fn stretched(hmac: &Hmac, input: &[u8]) -> Row {
    let mut words = [0; 32];
    for (i, eight) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let part = hmac.of(&[input, &(i as u32 + 1).to_be_bytes()]);
        for (word, bytes) in eight.iter_mut().zip(part.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
    }
    let mut row = Row([[0; 4]; 8]);
    for (block, words) in row.0.as_chunks_mut::<4>().0.iter_mut().zip(words.as_chunks::<16>().0) {
        for (to, from) in block.iter_mut().flatten().zip(DIAGONALS.iter().flatten()) {
            *to = words.get(*from).copied().unwrap_or_default();
        }
    }
    row
}

/// The second PBKDF2: the mixed row as the salt.
fn shortened(hmac: &Hmac, row: &Row) -> [u8; 32] {
    let mut bytes = [0; 128];
    for (bytes, block) in bytes.as_chunks_mut::<64>().0.iter_mut().zip(row.0.as_chunks::<4>().0) {
        let words = bytes.as_chunks_mut::<4>().0;
        for (from, to) in block.iter().flatten().zip(DIAGONALS.iter().flatten()) {
            if let Some(word) = words.get_mut(*to) {
                *word = from.to_le_bytes();
            }
        }
    }
    hmac.of(&[&bytes, &1_u32.to_be_bytes()])
}

struct Together<'m> {
    memory: &'m mut Vec<Row>,
    rows: &'m mut [Row],
}

impl Kernel for Together<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let width = L::Quad::LANES;
        for rows in self.rows.chunks_mut(width * REGISTERS) {
            match rows.len().div_ceil(width) {
                1 if rows.len() == 1 => mix::<One, 1>(One, self.memory, rows),
                1 => mix::<L, 1>(lanes, self.memory, rows),
                2 => mix::<L, 2>(lanes, self.memory, rows),
                3 => mix::<L, 3>(lanes, self.memory, rows),
                _ => mix::<L, REGISTERS>(lanes, self.memory, rows),
            }
        }
    }
}

/// ROMix of some hashes, at most as many as there are lanes in `G` registers.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "hashes and rows are counted here, a row's number is cut to N")]
#[expect(clippy::needless_range_loop, reason = "all hashes work on a row of that number in turn")]
fn mix<L: Lanes, const G: usize>(lanes: L, memory: &mut Vec<Row>, rows: &mut [Row]) {
    let width = L::Quad::LANES;
    if memory.len() < N * G * width {
        memory.resize(N * G * width, Row([[0; 4]; 8]));
    }
    let memory = memory.as_chunks_mut::<N>().0;
    let last = rows.len() - 1;
    let mut x: [[L::Quad; 8]; G] = std::array::from_fn(|g| {
        std::array::from_fn(|q| lanes.quad(|lane| rows[(g * width + lane).min(last)].0[q]))
    });
    for row in 0..N {
        for (g, x) in x.iter().enumerate() {
            for (q, quad) in x.iter().enumerate() {
                for (lane, words) in quad.each().into_iter().enumerate() {
                    memory[g * width + lane][row].0[q] = words;
                }
            }
        }
        salsa(&mut x);
    }
    for _ in 0..N {
        for (g, x) in x.iter_mut().enumerate() {
            // The first word of the second block says which row.
            let mut chosen = [0; MAX_LANES];
            for (chosen, words) in chosen.iter_mut().zip(x[4].each()) {
                *chosen = words[0] as usize % N;
            }
            for (q, quad) in x.iter_mut().enumerate() {
                *quad = *quad ^ lanes.quad(|lane| memory[g * width + lane][chosen[lane]].0[q]);
            }
        }
        salsa(&mut x);
    }
    for (g, x) in x.iter().enumerate() {
        for (q, quad) in x.iter().enumerate() {
            for (lane, words) in quad.each().into_iter().enumerate() {
                if let Some(row) = rows.get_mut(g * width + lane) {
                    row.0[q] = words;
                }
            }
        }
    }
}

/// BlockMix with r = 1: Salsa20/8 of each block with the one before added.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "every index is below the length of its array")]
fn salsa<Q: Quad, const G: usize>(x: &mut [[Q; 8]; G]) {
    for x in x.iter_mut() {
        for q in 0..4 {
            x[q] = x[q] ^ x[q + 4];
        }
    }
    eight_rounds::<Q, G, 0>(x);
    for x in x.iter_mut() {
        for q in 0..4 {
            x[q + 4] = x[q + 4] ^ x[q];
        }
    }
    eight_rounds::<Q, G, 4>(x);
}

/// Salsa20/8 of the block whose first four words are number `B`.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "every index is below the length of its array")]
fn eight_rounds<Q: Quad, const G: usize, const B: usize>(x: &mut [[Q; 8]; G]) {
    let mut s: [[Q; 4]; G] = std::array::from_fn(|g| [x[g][B], x[g][B + 1], x[g][B + 2], x[g][B + 3]]);
    for _ in 0..4 {
        quarter(&mut s);
        quarter(&mut s);
    }
    for (x, s) in x.iter_mut().zip(s) {
        for q in 0..4 {
            x[B + q] = x[B + q].plus(s[q]);
        }
    }
}

/// One round on the diagonals, which are left as the next round takes them: columns and rows change places.
#[inline(always)]
fn quarter<Q: Quad, const G: usize>(s: &mut [[Q; 4]; G]) {
    // Step by step through all registers: what one waits for, the others fill.
    for [a, b, _, d] in s.iter_mut() {
        *b = *b ^ a.plus(*d).left::<7, 25>();
    }
    for [a, b, c, _] in s.iter_mut() {
        *c = *c ^ b.plus(*a).left::<9, 23>();
    }
    for [_, b, c, d] in s.iter_mut() {
        *d = *d ^ c.plus(*b).left::<13, 19>();
    }
    for [a, b, c, d] in s.iter_mut() {
        *a = *a ^ d.plus(*c).left::<18, 14>();
        (*b, *c, *d) = (d.turn::<1>(), c.turn::<2>(), b.turn::<3>());
    }
}
