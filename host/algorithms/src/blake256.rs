//! BLAKE-256 with 14 rounds: the finalist of the SHA-3 competition, from its specification (Aumasson, Henzen, Meier,
//! Phan, version 1.4). Written out because the one crate that has it does not build without its SIMD backend and
//! brings an outdated `digest` along.

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

/// The ten permutations; round r uses number r mod 10.
const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

const ROUNDS: usize = 14;

/// BLAKE-256 of some bytes, without a salt.
pub(crate) fn blake256(input: &[u8]) -> [u8; 32] {
    let mut state = IV;
    let (blocks, rest) = input.as_chunks::<64>();
    let mut bits = 0_u64;
    for block in blocks {
        bits = bits.wrapping_add(512);
        compress(&mut state, block, bits);
    }
    // A one bit, zeros, a one bit for the 256-bit variant in the byte before the length, the length in bits.
    let total = bits.wrapping_add(8 * rest.len() as u64);
    let mut padded = [0_u8; 128];
    let blocks = if rest.len() <= 55 { 1 } else { 2 };
    let bytes = input.len() - rest.len();
    for (i, byte) in padded.iter_mut().enumerate() {
        if let Some(given) = rest.get(i) {
            *byte = *given;
        } else if i == rest.len() {
            *byte = 0x80;
        }
        let from_end = (blocks * 64_usize).wrapping_sub(i + 1);
        if from_end == 8 {
            *byte |= 1;
        } else if from_end < 8 {
            *byte = (total >> (8 * from_end)) as u8;
        }
    }
    for (i, block) in padded.as_chunks::<64>().0.iter().take(blocks).enumerate() {
        // The counter is that of message bits; a block of padding alone has 0.
        let message_in_block = bytes + 64 * i < input.len();
        compress(
            &mut state,
            block,
            if message_in_block { total.min(bits + 512 * (i as u64 + 1)) } else { 0 },
        );
    }
    let mut out = [0; 32];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    out
}

#[expect(clippy::indexing_slicing, reason = "every index is a constant or a permutation's entry, below 16")]
fn compress(state: &mut [u32; 8], block: &[u8; 64], counter: u64) {
    let mut m = [0; 16];
    for (word, bytes) in m.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let (t0, t1) = (counter as u32, (counter >> 32) as u32);
    let h = *state;
    let mut v = [
        h[0],
        h[1],
        h[2],
        h[3],
        h[4],
        h[5],
        h[6],
        h[7],
        C[0],
        C[1],
        C[2],
        C[3],
        t0 ^ C[4],
        t0 ^ C[5],
        t1 ^ C[6],
        t1 ^ C[7],
    ];
    for round in 0..ROUNDS {
        let sigma = &SIGMA[round % 10];
        let mut g = |i: usize, a: usize, b: usize, c: usize, d: usize| {
            let (j, k) = (sigma[2 * i], sigma[2 * i + 1]);
            v[a] = v[a].wrapping_add(v[b]).wrapping_add(m[j] ^ C[k]);
            v[d] = (v[d] ^ v[a]).rotate_right(16);
            v[c] = v[c].wrapping_add(v[d]);
            v[b] = (v[b] ^ v[c]).rotate_right(12);
            v[a] = v[a].wrapping_add(v[b]).wrapping_add(m[k] ^ C[j]);
            v[d] = (v[d] ^ v[a]).rotate_right(8);
            v[c] = v[c].wrapping_add(v[d]);
            v[b] = (v[b] ^ v[c]).rotate_right(7);
        };
        g(0, 0, 4, 8, 12);
        g(1, 1, 5, 9, 13);
        g(2, 2, 6, 10, 14);
        g(3, 3, 7, 11, 15);
        g(4, 0, 5, 10, 15);
        g(5, 1, 6, 11, 12);
        g(6, 2, 7, 8, 13);
        g(7, 3, 4, 9, 14);
    }
    for (i, word) in state.iter_mut().enumerate() {
        *word ^= v[i] ^ v[i + 8];
    }
}
