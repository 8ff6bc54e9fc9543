//! Eaglesong (RFC 0010 of its chain), alone and followed by a personalised BLAKE2b.
//!
//! Its miners hash 48 bytes, of which the first 32 are their job's and fill the sponge's first block exactly: with the
//! state behind that block taken ahead, a share costs one permutation. The published crate, which the tests compare with,
//! computes three: it permutes once more after the output.

mod rounds;

use crate::lanes::{Kernel, Lanes, One, Processor, Word32};
use crate::{Algorithm, AlgorithmError, Batch, Context, blake, no_key, put};
use rounds::permute;
use std::sync::Arc;

/// Bytes of a block.
const RATE: usize = 32;
/// What follows the message.
const DELIMITER: u32 = 0x06;

type State = [u32; 16];

pub(crate) fn all(processor: Processor) -> Vec<Arc<dyn Algorithm>> {
    vec![
        Arc::new(Eaglesong { name: "eaglesong", processor, then: None }),
        Arc::new(Eaglesong { name: "eaglesong-blake2b", processor, then: Some(*b"ckb-default-hash") }),
    ]
}

/// Eaglesong, and BLAKE2b-256 of it with a personalisation where there is one.
struct Eaglesong {
    name: &'static str,
    processor: Processor,
    then: Option<[u8; 16]>,
}

impl Algorithm for Eaglesong {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        no_key(self.name, key)?;
        let Self { name, processor, then } = *self;
        Ok(Arc::new(Begun { name, processor, then, state: [0; 16] }))
    }
}

/// Eaglesong behind a number of whole blocks, none to begin with.
#[derive(Clone, Copy)]
struct Begun {
    name: &'static str,
    processor: Processor,
    then: Option<[u8; 16]>,
    state: State,
}

impl Context for Begun {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let hash = eaglesong(self.state, input);
        put(self.name, self.then.map_or(hash, |personal| blake::blake2b_256_personal(&personal, &hash)), out)
    }

    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        let blocks = beginning.as_chunks::<RATE>().0;
        if blocks.is_empty() {
            return None;
        }
        let state = blocks.iter().fold(self.state, |state, block| absorb(state, block, 0));
        Some((blocks.len() * RATE, Arc::new(Self { state, ..*self })))
    }

    fn gains_together(&self) -> bool {
        self.processor.has_lanes()
    }

    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let mut batch = Batch::new(self.name, width, inputs, out)?;
        self.processor.run(Together { state: &self.state, batch: &mut batch });
        if let Some(personal) = self.then {
            for hash in batch.out.iter_mut() {
                *hash = blake::blake2b_256_personal(&personal, hash);
            }
        }
        Ok(())
    }
}

fn eaglesong(mut state: State, input: &[u8]) -> [u8; 32] {
    let mut at = 0;
    while at <= input.len() {
        state = absorb(state, input, at);
        at += RATE;
    }
    let mut out = [0; 32];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_le_bytes();
    }
    out
}

/// The state after the block at a place of the padded message.
#[inline]
fn absorb(mut state: State, input: &[u8], at: usize) -> State {
    for (i, own) in state.iter_mut().take(RATE / 4).enumerate() {
        *own ^= word(input, at + 4 * i);
    }
    permute(One, state)
}

/// The word at a place of the padded message: big-endian; the last one ends with the delimiter.
#[inline(always)]
fn word(input: &[u8], at: usize) -> u32 {
    match input.get(at..) {
        Some([a, b, c, d, ..]) => u32::from_be_bytes([*a, *b, *c, *d]),
        Some(rest) => rest.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)) << 8 | DELIMITER,
        None => 0,
    }
}

/// A batch, as many inputs at once as there are lanes.
struct Together<'b, 'i> {
    state: &'b State,
    batch: &'b mut Batch<'i>,
}

impl Kernel for Together<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Batch { inputs, out } = self.batch;
        for (group, out) in out.chunks_mut(L::W32::LANES).enumerate() {
            let input = |lane: usize| inputs.get(group * L::W32::LANES + lane);
            if let [out] = out {
                *out = eaglesong(*self.state, input(0));
                continue;
            }
            let mut state = self.state.map(|word| lanes.splat32(word));
            let mut at = 0;
            while at <= inputs.width {
                for (i, own) in state.iter_mut().take(RATE / 4).enumerate() {
                    *own = *own ^ lanes.w32(|lane| word(input(lane), at + 4 * i));
                }
                state = permute(lanes, state);
                at += RATE;
            }
            for (i, word) in state.into_iter().take(RATE / 4).enumerate() {
                for (out, word) in out.iter_mut().zip(word.each()) {
                    if let Some(bytes) = out.as_chunks_mut::<4>().0.get_mut(i) {
                        *bytes = word.to_le_bytes();
                    }
                }
            }
        }
    }
}
