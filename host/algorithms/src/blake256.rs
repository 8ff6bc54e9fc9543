//! BLAKE-256 with 14 rounds: the finalist of the SHA-3 competition, from its specification (Aumasson, Henzen, Meier,
//! Phan, version 1.4). Written out because the one crate that has it does not build without its SIMD backend and
//! brings an outdated `digest` along.

use crate::lanes::{Kernel, Lanes, One, Processor, Word32};
use crate::{Algorithm, AlgorithmError, Batch, Context, no_key, put};
use std::sync::Arc;

const NAME: &str = "blake256";
/// Inputs from which on lanes are faster than one after the other.
const ENOUGH: usize = 5;

const IV: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The leading digits of pi.
const C: [u32; 16] = [
    0x243f_6a88,
    0x85a3_08d3,
    0x1319_8a2e,
    0x0370_7344,
    0xa409_3822,
    0x299f_31d0,
    0x082e_fa98,
    0xec4e_6c89,
    0x4528_21e6,
    0x38d0_1377,
    0xbe54_66cf,
    0x34e9_0c6c,
    0xc0ac_29b7,
    0xc97c_50dd,
    0x3f84_d5b5,
    0xb547_0917,
];

pub(crate) fn all(processor: Processor) -> Vec<Arc<dyn Algorithm>> {
    vec![Arc::new(Blake256(processor))]
}

struct Blake256(Processor);

impl Algorithm for Blake256 {
    fn name(&self) -> &str {
        NAME
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        no_key(NAME, key)?;
        Ok(Arc::new(Begun { processor: self.0, state: IV, taken: 0 }))
    }
}

/// BLAKE-256 behind a number of whole blocks, none to begin with; without a salt.
#[derive(Clone, Copy)]
struct Begun {
    processor: Processor,
    state: [u32; 8],
    /// Bytes of those blocks.
    taken: usize,
}

impl Context for Begun {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        put(NAME, self.of(input), out)
    }

    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        let blocks = beginning.as_chunks::<64>().0;
        if blocks.is_empty() {
            return None;
        }
        let mut ahead = *self;
        for block in blocks {
            ahead.taken = ahead.taken.checked_add(64)?;
            let m = std::array::from_fn(|i| word(block, 0, i, 0));
            ahead.state = compress(One, ahead.state, m, (ahead.taken as u64).wrapping_mul(8));
        }
        Some((blocks.len() * 64, Arc::new(ahead)))
    }

    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let mut batch = Batch::new(NAME, width, inputs, out)?;
        self.processor.run(Together { begun: self, batch: &mut batch });
        Ok(())
    }
}

impl Begun {
    fn of(&self, input: &[u8]) -> [u8; 32] {
        let mut out = [[0; 32]];
        self.finish(One, &mut out, input.len(), |_| input);
        out[0]
    }

    /// As many inputs of one length as there are lanes.
    #[inline(always)]
    fn finish<'i, L: Lanes>(
        &self,
        lanes: L,
        out: &mut [[u8; 32]],
        width: usize,
        input: impl Fn(usize) -> &'i [u8],
    ) {
        let mut state = self.state.map(|word| lanes.splat32(word));
        let mut at = 0;
        // The padding takes 9 bytes at least: a one bit, a one bit for the 256-bit variant, the length in bits.
        while at < width + 9 {
            let m = std::array::from_fn(|i| lanes.w32(|lane| word(input(lane), at, i, self.taken)));
            // The counter is that of message bits up to here; a block of padding alone has 0.
            let bytes = if at < width { self.taken.wrapping_add(width.min(at + 64)) } else { 0 };
            state = compress(lanes, state, m, (bytes as u64).wrapping_mul(8));
            at += 64;
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

struct Together<'b, 'i> {
    begun: &'b Begun,
    batch: &'b mut Batch<'i>,
}

impl Kernel for Together<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Batch { inputs, out } = self.batch;
        for (group, out) in out.chunks_mut(L::W32::LANES).enumerate() {
            let input = |lane: usize| inputs.get(group * L::W32::LANES + lane);
            if out.len() >= ENOUGH {
                self.begun.finish(lanes, out, inputs.width, input);
            } else {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = self.begun.of(input(i));
                }
            }
        }
    }
}

/// Word `i` of the block at `at` of the padded message, big-endian; its length counts what was taken before.
#[inline(always)]
fn word(input: &[u8], at: usize, i: usize, taken: usize) -> u32 {
    let mut word = match input.get(at + 4 * i..) {
        Some([a, b, c, d, ..]) => return u32::from_be_bytes([*a, *b, *c, *d]),
        Some([a, b, c]) => u32::from_be_bytes([*a, *b, *c, 0x80]),
        Some([a, b]) => u32::from_be_bytes([*a, *b, 0x80, 0]),
        Some([a]) => u32::from_be_bytes([*a, 0x80, 0, 0]),
        Some([]) => 0x8000_0000,
        None => 0,
    };
    if input.len() + 9 <= at + 64 {
        let bits = (taken.wrapping_add(input.len()) as u64).wrapping_mul(8);
        word |= match i {
            13 => 1,
            14 => (bits >> 32) as u32,
            15 => bits as u32,
            _ => 0,
        };
    }
    word
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "every index is below the length of its array")]
fn compress<L: Lanes>(lanes: L, h: [L::W32; 8], m: [L::W32; 16], counter: u64) -> [L::W32; 8] {
    let (t0, t1) = (counter as u32, (counter >> 32) as u32);
    let fixed = [C[0], C[1], C[2], C[3], t0 ^ C[4], t0 ^ C[5], t1 ^ C[6], t1 ^ C[7]];
    let mut v: [L::W32; 16] = std::array::from_fn(|i| if i < 8 { h[i] } else { lanes.splat32(fixed[i - 8]) });
    macro_rules! step {
        ($a:literal $b:literal $c:literal $d:literal, $j:literal $k:literal) => {
            v[$a] = v[$a].plus(v[$b]).plus(m[$j] ^ lanes.splat32(C[$k]));
            v[$d] = (v[$d] ^ v[$a]).left::<16, 16>();
            v[$c] = v[$c].plus(v[$d]);
            v[$b] = (v[$b] ^ v[$c]).left::<20, 12>();
            v[$a] = v[$a].plus(v[$b]).plus(m[$k] ^ lanes.splat32(C[$j]));
            v[$d] = (v[$d] ^ v[$a]).left::<24, 8>();
            v[$c] = v[$c].plus(v[$d]);
            v[$b] = (v[$b] ^ v[$c]).left::<25, 7>();
        };
    }
    // The permutations are written out: were they looked up, the words could not stay in registers.
    macro_rules! round {
        ($($p:literal)*) => { round!(@ $($p)*) };
        (@ $p0:literal $p1:literal $p2:literal $p3:literal $p4:literal $p5:literal $p6:literal $p7:literal
           $p8:literal $p9:literal $pa:literal $pb:literal $pc:literal $pd:literal $pe:literal $pf:literal) => {
            step!(0 4 8 12, $p0 $p1);
            step!(1 5 9 13, $p2 $p3);
            step!(2 6 10 14, $p4 $p5);
            step!(3 7 11 15, $p6 $p7);
            step!(0 5 10 15, $p8 $p9);
            step!(1 6 11 12, $pa $pb);
            step!(2 7 8 13, $pc $pd);
            step!(3 4 9 14, $pe $pf);
        };
    }
    round!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    round!(14 10 4 8 9 15 13 6 1 12 0 2 11 7 5 3);
    round!(11 8 12 0 5 2 15 13 10 14 3 6 7 1 9 4);
    round!(7 9 3 1 13 12 11 14 2 6 5 10 4 0 15 8);
    round!(9 0 5 7 2 4 10 15 14 1 11 12 6 8 3 13);
    round!(2 12 6 10 0 11 8 3 4 13 7 5 15 14 1 9);
    round!(12 5 1 15 14 13 4 10 0 7 6 3 9 2 8 11);
    round!(13 11 7 14 12 1 3 9 5 0 15 4 8 6 2 10);
    round!(6 15 14 9 11 3 0 8 12 2 13 7 1 4 10 5);
    round!(10 2 8 4 7 6 1 5 15 11 9 14 3 12 13 0);
    // There are ten permutations; the last four rounds take the first four again.
    round!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    round!(14 10 4 8 9 15 13 6 1 12 0 2 11 7 5 3);
    round!(11 8 12 0 5 2 15 13 10 14 3 6 7 1 9 4);
    round!(7 9 3 1 13 12 11 14 2 6 5 10 4 0 15 8);
    std::array::from_fn(|i| h[i] ^ v[i] ^ v[i + 8])
}
