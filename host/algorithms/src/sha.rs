//! SHA-256, single and double (FIPS 180-4).
//!
//! The padding is written here around the compression: a pool hashes short inputs by the million, and most are 64, 80
//! or 32 bytes, where buffering costs as much as a block. The compression of one message is the crate's where the
//! processor has instructions for it. A batch goes through lanes where that is faster: with AVX-512 always, with AVX2
//! where those instructions are missing. (Two messages in turn with those instructions were measured too: no gain.)

use crate::lanes::{Kernel, Lanes, One, Processor, Word32};
use crate::{Algorithm, AlgorithmError, Batch, Context, no_key, put};
use sha2::compress256;
use sha2::digest::generic_array::GenericArray;
use std::sync::Arc;

type State = [u32; 8];

/// The square roots of the first eight primes (5.3.3).
const START: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The cube roots of the first 64 primes (4.2.2).
#[rustfmt::skip]
const ROUND: [[u32; 16]; 4] = [
    [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    ],
    [
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    ],
    [
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    ],
    [
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ],
];

pub(crate) fn all(processor: Processor) -> Vec<Arc<dyn Algorithm>> {
    vec![
        Arc::new(Sha256 { name: "sha256", processor, twice: false }),
        Arc::new(Sha256 { name: "sha256d", processor, twice: true }),
    ]
}

/// SHA-256, or SHA-256 of SHA-256.
struct Sha256 {
    name: &'static str,
    processor: Processor,
    twice: bool,
}

impl Algorithm for Sha256 {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        no_key(self.name, key)?;
        let Self { name, processor, twice } = *self;
        Ok(Arc::new(Begun { name, processor, twice, state: START, taken: 0 }))
    }
}

/// SHA-256 behind a number of whole blocks, none to begin with.
#[derive(Clone, Copy)]
struct Begun {
    name: &'static str,
    processor: Processor,
    twice: bool,
    state: State,
    /// Bytes of those blocks.
    taken: usize,
}

impl Context for Begun {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        put(self.name, self.of(input), out)
    }

    fn fold(&self, acc: &mut [u8; 32], items: &[[u8; 32]]) -> Result<(), AlgorithmError> {
        let mut pair = [0; 64];
        for item in items {
            if let [left, right] = pair.as_chunks_mut::<32>().0 {
                (*left, *right) = (*acc, *item);
            }
            *acc = self.of(&pair);
        }
        Ok(())
    }

    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        let blocks = beginning.as_chunks::<64>().0;
        if blocks.is_empty() {
            return None;
        }
        let mut ahead = *self;
        for block in blocks {
            compress(&mut ahead.state, block, self.processor);
        }
        ahead.taken = self.taken.checked_add(blocks.len() * 64)?;
        Some((blocks.len() * 64, Arc::new(ahead)))
    }

    fn gains_together(&self) -> bool {
        self.processor.has_lanes() && !self.processor.has_sha()
    }

    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let mut batch = Batch::new(self.name, width, inputs, out)?;
        if self.processor.rotates() || !self.processor.has_sha() {
            self.processor.run(Together { batch: &mut batch, begun: self });
        } else {
            for (i, out) in batch.out.iter_mut().enumerate() {
                *out = self.of(batch.inputs.get(i));
            }
        }
        Ok(())
    }
}

impl Begun {
    #[inline]
    fn of(&self, input: &[u8]) -> [u8; 32] {
        let once = behind(self.state, self.taken, input, self.processor);
        if self.twice { behind(START, 0, &once, self.processor) } else { once }
    }
}

/// The hash of a message whose first `taken` bytes led to `state`.
#[inline]
fn behind(mut state: State, taken: usize, input: &[u8], processor: Processor) -> [u8; 32] {
    let (whole, rest) = input.as_chunks::<64>();
    for block in whole {
        compress(&mut state, block, processor);
    }
    end(state, rest, taken.wrapping_add(input.len()), processor)
}

/// The hash behind some blocks and the rest of a message of `len` bytes.
#[inline]
fn end(mut state: State, rest: &[u8], len: usize, processor: Processor) -> [u8; 32] {
    let mut last = [0; 64];
    let (data, behind) = last.split_at_mut(rest.len().min(63));
    data.copy_from_slice(rest);
    if let Some(first) = behind.first_mut() {
        *first = 0x80;
    }
    if rest.len() >= 56 {
        compress(&mut state, &last, processor);
        last = [0; 64];
    }
    if let Some(end) = last.last_chunk_mut::<8>() {
        *end = (len as u64).wrapping_mul(8).to_be_bytes();
    }
    compress(&mut state, &last, processor);
    bytes(&state)
}

/// A block of the padded message: the message, a one bit, zeros, the length in bits with what was taken before.
#[inline(always)]
fn block(input: &[u8], at: usize, taken: usize) -> [u8; 64] {
    if let Some(whole) = input.get(at..).and_then(<[u8]>::first_chunk) {
        return *whole;
    }
    let mut block = [0; 64];
    if let Some(rest) = input.get(at..) {
        let (data, behind) = block.split_at_mut(rest.len().min(63));
        data.copy_from_slice(rest);
        if let Some(first) = behind.first_mut() {
            *first = 0x80;
        }
    }
    if input.len() + 9 <= at + 64
        && let Some(end) = block.last_chunk_mut::<8>()
    {
        *end = (taken.wrapping_add(input.len()) as u64).wrapping_mul(8).to_be_bytes();
    }
    block
}

fn bytes(state: &State) -> [u8; 32] {
    let mut out = [0; 32];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    out
}

/// The compression of one block.
#[inline]
fn compress(state: &mut State, block: &[u8; 64], processor: Processor) {
    if processor.has_sha() {
        compress256(state, std::slice::from_ref(GenericArray::from_slice(block)));
        return;
    }
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    *state = rounds(One, *state, words);
}

/// 64 rounds, and the state of before added, in every lane.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "every index is below the length of its array")]
fn rounds<L: Lanes>(lanes: L, state: [L::W32; 8], mut w: [L::W32; 16]) -> [L::W32; 8] {
    let mut s = state;
    for (turn, constants) in ROUND.iter().enumerate() {
        macro_rules! round {
            ($($i:literal)*) => {
                $({
                    if turn > 0 {
                        let (early, late) = (w[($i + 1) % 16], w[($i + 14) % 16]);
                        let small0 = early.left::<25, 7>() ^ early.left::<14, 18>() ^ early.shift_right::<3>();
                        let small1 = late.left::<15, 17>() ^ late.left::<13, 19>() ^ late.shift_right::<10>();
                        w[$i] = w[$i].plus(small0).plus(w[($i + 9) % 16]).plus(small1);
                    }
                    // The registers stay, their names move on.
                    let [a, b, c] = [s[(16 - $i) % 8], s[(17 - $i) % 8], s[(18 - $i) % 8]];
                    let [e, f, g] = [s[(20 - $i) % 8], s[(21 - $i) % 8], s[(22 - $i) % 8]];
                    let big1 = e.left::<26, 6>() ^ e.left::<21, 11>() ^ e.left::<7, 25>();
                    let chosen = g ^ (e & (f ^ g));
                    let sum = s[(23 - $i) % 8].plus(big1).plus(chosen).plus(lanes.splat32(constants[$i])).plus(w[$i]);
                    let big0 = a.left::<30, 2>() ^ a.left::<19, 13>() ^ a.left::<10, 22>();
                    let major = (a & b) ^ (c & (a ^ b));
                    s[(19 - $i) % 8] = s[(19 - $i) % 8].plus(sum);
                    s[(23 - $i) % 8] = sum.plus(big0).plus(major);
                })*
            };
        }
        round!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    std::array::from_fn(|i| state[i].plus(s[i]))
}

/// A batch, as many messages at once as there are lanes.
struct Together<'b, 'i> {
    batch: &'b mut Batch<'i>,
    begun: &'b Begun,
}

impl Kernel for Together<'_, '_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "every index is below the length of its array")]
    fn run<L: Lanes>(self, lanes: L) {
        let Batch { inputs, out } = self.batch;
        for (group, out) in out.chunks_mut(L::W32::LANES).enumerate() {
            let input = |lane: usize| inputs.get(group * L::W32::LANES + lane);
            // The instructions for one message are as fast as seven of eight lanes.
            if out.len() < if self.begun.processor.has_sha() { L::W32::LANES } else { 2 } {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = self.begun.of(input(i));
                }
                continue;
            }
            let mut state = self.begun.state.map(|word| lanes.splat32(word));
            let mut at = 0;
            while at < inputs.width + 9 {
                let mut words = [[0; 16]; MAX_LANES];
                for (lane, words) in words.iter_mut().take(L::W32::LANES).enumerate() {
                    for (word, bytes) in
                        words.iter_mut().zip(block(input(lane), at, self.begun.taken).as_chunks::<4>().0)
                    {
                        *word = u32::from_be_bytes(*bytes);
                    }
                }
                let words =
                    std::array::from_fn(|i| lanes.w32(|lane| words.get(lane).map_or(0, |words| words[i])));
                state = rounds(lanes, state, words);
                at += 64;
            }
            if self.begun.twice {
                let words = std::array::from_fn(|i| match i {
                    0..8 => state[i],
                    8 => lanes.splat32(1 << 31),
                    15 => lanes.splat32(256),
                    _ => lanes.splat32(0),
                });
                state = rounds(lanes, START.map(|word| lanes.splat32(word)), words);
            }
            for (i, word) in state.into_iter().enumerate() {
                for (out, word) in out.iter_mut().zip(word.each()) {
                    if let Some(bytes) = out.as_chunks_mut::<4>().0.get_mut(i) {
                        *bytes = word.to_be_bytes();
                    }
                }
            }
        }
    }
}

/// Lanes of the widest register.
const MAX_LANES: usize = 8;

/// A message that comes in parts.
#[derive(Clone, Copy)]
struct Stream {
    state: State,
    block: [u8; 64],
    /// Bytes so far.
    len: usize,
    processor: Processor,
}

impl Stream {
    #[inline]
    fn new(state: State, processor: Processor) -> Self {
        Self { state, block: [0; 64], len: 0, processor }
    }

    #[inline]
    fn absorb(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            let filled = self.len % 64;
            if filled == 0
                && let Some((block, rest)) = part.split_first_chunk()
            {
                compress(&mut self.state, block, self.processor);
                (self.len, part) = (self.len.wrapping_add(64), rest);
                continue;
            }
            let (now, rest) = part.split_at(part.len().min(64 - filled));
            if let Some(place) = self.block.get_mut(filled..filled + now.len()) {
                place.copy_from_slice(now);
            }
            (self.len, part) = (self.len.wrapping_add(now.len()), rest);
            if self.len.is_multiple_of(64) {
                compress(&mut self.state, &self.block, self.processor);
            }
        }
    }

    #[inline]
    fn finish(self) -> [u8; 32] {
        let rest = self.block.get(..self.len % 64).unwrap_or_default();
        end(self.state, rest, self.len, self.processor)
    }
}

/// HMAC-SHA-256 with one key (RFC 2104): both states behind the key's block.
#[derive(Clone, Copy)]
pub(crate) struct Hmac {
    inner: Stream,
    outer: Stream,
}

impl Hmac {
    pub(crate) fn new(key: &[u8], processor: Processor) -> Self {
        let mut block = [0; 64];
        if let Some(place) = block.get_mut(..key.len()) {
            place.copy_from_slice(key);
        } else if let Some(place) = block.first_chunk_mut::<32>() {
            *place = behind(START, 0, key, processor);
        }
        let begun = |with: u8| {
            let mut stream = Stream::new(START, processor);
            stream.absorb(&block.map(|byte| byte ^ with));
            stream
        };
        Self { inner: begun(0x36), outer: begun(0x5c) }
    }

    /// The code of a message in parts.
    pub(crate) fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let (mut inner, mut outer) = (self.inner, self.outer);
        for part in parts {
            inner.absorb(part);
        }
        outer.absorb(&inner.finish());
        outer.finish()
    }
}
