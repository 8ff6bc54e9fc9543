//! Keccak: SHA3-256, Keccak-256 (the padding of before the standard) and cSHAKE256 with a customisation as its key
//! (FIPS 202, NIST SP 800-185).

use crate::lanes::{Kernel, Lanes, One, Processor, Word64};
use crate::{Algorithm, AlgorithmError, Batch, Context, Key, no_key, put};
use std::sync::Arc;

/// Bytes of a block, with a capacity of 512 bits.
const RATE: usize = 136;
/// The bits that follow the message, with the first bit of the padding.
const SHA3: u8 = 0x06;
const KECCAK: u8 = 0x01;
const CSHAKE: u8 = 0x04;

/// The round constants (FIPS 202, 3.2.5).
const IOTA: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

pub(crate) fn all(processor: Processor) -> Vec<Arc<dyn Algorithm>> {
    vec![
        Arc::new(Unkeyed(Hasher { name: "sha3-256", sponge: Sponge::new(SHA3), processor })),
        Arc::new(Unkeyed(Hasher { name: "keccak256", sponge: Sponge::new(KECCAK), processor })),
        Arc::new(CShake256(processor)),
    ]
}

/// A sponge of 136-byte blocks and 32 bytes of output: its state before the message, and what follows the message.
#[derive(Clone, Copy)]
pub(crate) struct Sponge {
    state: [u64; 25],
    suffix: u8,
}

impl Sponge {
    fn new(suffix: u8) -> Self {
        Self { state: [0; 25], suffix }
    }

    /// cSHAKE256 with an empty function name and this customisation: it fills whole blocks, whose state is kept, so
    /// that a hash starts from there. Without one it is SHAKE256.
    pub(crate) fn cshake256(custom: &[u8]) -> Self {
        if custom.is_empty() {
            return Self::new(0x1f);
        }
        // bytepad(encode_string("") || encode_string(custom), 136): lengths are in bits, after their own length in bytes.
        let mut prefix = vec![1, RATE as u8, 1, 0];
        let bits = (custom.len() as u64).saturating_mul(8).to_be_bytes();
        let zeros = bits.iter().take_while(|byte| **byte == 0).count().min(7);
        prefix.push((8 - zeros) as u8);
        prefix.extend(bits.iter().skip(zeros));
        prefix.extend_from_slice(custom);
        prefix.resize(prefix.len().next_multiple_of(RATE), 0);
        let sponge = Self::new(CSHAKE);
        sponge.behind(&prefix).map_or(sponge, |(_, behind)| behind)
    }

    /// The sponge behind the whole blocks that a message begins with, and how many bytes those are; `None` where there
    /// is none.
    fn behind(&self, beginning: &[u8]) -> Option<(usize, Self)> {
        let blocks = beginning.as_chunks::<RATE>().0;
        let mut state = self.state;
        for block in blocks {
            for (word, bytes) in state.iter_mut().zip(block.as_chunks::<8>().0) {
                *word ^= u64::from_le_bytes(*bytes);
            }
            state = permute(One, state);
        }
        (!blocks.is_empty()).then_some((blocks.len() * RATE, Self { state, ..*self }))
    }

    /// Hashes one input.
    pub(crate) fn hash(&self, input: &[u8]) -> [u8; 32] {
        let mut out = [[0; 32]];
        self.squeeze(One, &mut out, input.len(), |_| input);
        out[0]
    }

    /// Hashes as many inputs of one length as there are lanes.
    #[inline(always)]
    pub(crate) fn squeeze<'i, L: Lanes>(
        &self,
        lanes: L,
        out: &mut [[u8; 32]],
        width: usize,
        input: impl Fn(usize) -> &'i [u8],
    ) {
        let mut state: [L::W64; 25] = self.state.map(|word| lanes.splat64(word));
        let mut at = 0;
        while at <= width {
            let last = width - at < RATE;
            for (i, own) in state.iter_mut().take(RATE / 8).enumerate() {
                let end = if last && i == RATE / 8 - 1 { 1 << 63 } else { 0 };
                *own = *own ^ lanes.w64(|lane| word(input(lane), at + 8 * i, self.suffix) ^ end);
            }
            state = permute(lanes, state);
            at += RATE;
        }
        for (i, word) in state.into_iter().take(4).enumerate() {
            for (out, word) in out.iter_mut().zip(word.each()) {
                if let Some(bytes) = out.as_chunks_mut::<8>().0.get_mut(i) {
                    *bytes = word.to_le_bytes();
                }
            }
        }
    }
}

/// A little-endian word of a message; the suffix stands right behind the message.
#[inline(always)]
fn word(input: &[u8], at: usize, suffix: u8) -> u64 {
    match input.get(at..) {
        Some([a, b, c, d, e, f, g, h, ..]) => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        Some(rest) => rest.iter().rev().fold(u64::from(suffix), |word, byte| word << 8 | u64::from(*byte)),
        None => 0,
    }
}

/// Keccak-f[1600]: rows of five, word (x, y) at x + 5 y.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "every index is below the length of its array")]
pub(crate) fn permute<L: Lanes>(lanes: L, mut a: [L::W64; 25]) -> [L::W64; 25] {
    for constant in IOTA {
        let column = |x: usize| a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        let c = [column(0), column(1), column(2), column(3), column(4)];
        let turned = |x: usize| c[(x + 4) % 5] ^ c[(x + 1) % 5].left::<1, 63>();
        let d = [turned(0), turned(1), turned(2), turned(3), turned(4)];
        // Word `from` is rotated and moves to where it stands in this list.
        macro_rules! moved {
            ($($from:literal $by:literal,)*) => {
                [$((a[$from] ^ d[$from % 5]).left::<$by, { 64 - $by }>(),)*]
            };
        }
        let b = moved!(
            0 0, 6 44, 12 43, 18 21, 24 14,
            3 28, 9 20, 10 3, 16 45, 22 61,
            1 1, 7 6, 13 25, 19 8, 20 18,
            4 27, 5 36, 11 10, 17 15, 23 56,
            2 62, 8 55, 14 39, 15 41, 21 2,
        );
        for (to, from) in a.as_chunks_mut::<5>().0.iter_mut().zip(b.as_chunks::<5>().0) {
            let [p, q, r, s, t] = *from;
            *to = [p ^ q.not_and(r), q ^ r.not_and(s), r ^ s.not_and(t), s ^ t.not_and(p), t ^ p.not_and(q)];
        }
        a[0] = a[0] ^ lanes.splat64(constant);
    }
    a
}

/// A prepared sponge under a name.
#[derive(Clone, Copy)]
struct Hasher {
    name: &'static str,
    sponge: Sponge,
    processor: Processor,
}

impl Context for Hasher {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        put(self.name, self.sponge.hash(input), out)
    }

    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        let (taken, sponge) = self.sponge.behind(beginning)?;
        Some((taken, Arc::new(Self { sponge, ..*self })))
    }

    fn gains_together(&self) -> bool {
        self.processor.has_lanes()
    }

    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let mut batch = Batch::new(self.name, width, inputs, out)?;
        self.processor.run(Together { sponge: &self.sponge, batch: &mut batch });
        Ok(())
    }
}

struct Together<'b, 'i> {
    sponge: &'b Sponge,
    batch: &'b mut Batch<'i>,
}

impl Kernel for Together<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Batch { inputs, out } = self.batch;
        for (group, out) in out.chunks_mut(L::W64::LANES).enumerate() {
            let input = |lane: usize| inputs.get(group * L::W64::LANES + lane);
            if let [out] = out {
                *out = self.sponge.hash(input(0));
            } else {
                self.sponge.squeeze(lanes, out, inputs.width, input);
            }
        }
    }
}

struct Unkeyed(Hasher);

impl Algorithm for Unkeyed {
    fn name(&self) -> &str {
        self.0.name
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        no_key(self.0.name, key)?;
        Ok(Arc::new(self.0))
    }
}

struct CShake256(Processor);

impl Algorithm for CShake256 {
    fn name(&self) -> &str {
        "cshake256"
    }

    fn key(&self) -> Key {
        Key::Cheap
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(Hasher { name: "cshake256", sponge: Sponge::cshake256(key), processor: self.0 }))
    }
}
