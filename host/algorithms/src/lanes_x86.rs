//! AVX2's registers as lanes, and one register of SSE2, which every processor of this architecture has.
//!
//! With AVX-512 the same code is compiled once more: the compiler then makes one instruction of a rotation and of two
//! bitwise operations, and has twice the registers.

use super::{Kernel, Lanes, Quad, Word32, Word64};
use std::arch::x86_64::*;
use std::mem::transmute;
use std::ops::{BitAnd, BitXor};

/// Proof that AVX2 may be executed: made in this file, in functions that are called where it was detected. The
/// intrinsics below are each sound for that reason: a word of this file's types comes from a value of this one.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

#[target_feature(enable = "avx2")]
pub(super) fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
pub(super) fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Eight words of 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Eight(__m256i);

/// Four words of 64 bits.
#[derive(Clone, Copy)]
pub(crate) struct FourWide(__m256i);

/// Four words of 32 bits for each of two hashes.
#[derive(Clone, Copy)]
pub(crate) struct TwoFours(__m256i);

/// Four words of 32 bits of one hash.
#[derive(Clone, Copy)]
pub(crate) struct Four(__m128i);

impl Lanes for Avx2 {
    type W32 = Eight;
    type W64 = FourWide;
    type Quad = TwoFours;

    #[inline(always)]
    fn w32(self, mut lane: impl FnMut(usize) -> u32) -> Eight {
        let words = [lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7)];
        // SAFETY: both types have 32 bytes, and any bits are a value of either.
        Eight(unsafe { transmute::<[u32; 8], __m256i>(words) })
    }

    #[inline(always)]
    fn splat32(self, word: u32) -> Eight {
        // SAFETY: see `Avx2`.
        Eight(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    fn w64(self, mut lane: impl FnMut(usize) -> u64) -> FourWide {
        // SAFETY: both types have 32 bytes, and any bits are a value of either.
        FourWide(unsafe { transmute::<[u64; 4], __m256i>([lane(0), lane(1), lane(2), lane(3)]) })
    }

    #[inline(always)]
    fn splat64(self, word: u64) -> FourWide {
        // SAFETY: see `Avx2`.
        FourWide(unsafe { _mm256_set1_epi64x(word.cast_signed()) })
    }

    #[inline(always)]
    fn quad(self, mut lane: impl FnMut(usize) -> [u32; 4]) -> TwoFours {
        // SAFETY: both types have 32 bytes, and any bits are a value of either.
        TwoFours(unsafe { transmute::<[[u32; 4]; 2], __m256i>([lane(0), lane(1)]) })
    }

    #[inline(always)]
    fn multiply(self, pairs: &[[u8; 128]; 32], hash: &[u8; 32]) -> [u16; 64] {
        // 16 rows to a register, each row's sum in 16 bits: at most 14,400, so that nothing saturates.
        // SAFETY: see `Avx2`; both types have 128 bytes, and any bits are a value of either.
        unsafe {
            let mut sums = [_mm256_setzero_si256(); 4];
            for (columns, byte) in pairs.iter().zip(hash) {
                let nibbles = i16::from(byte >> 4) | i16::from(byte & 0x0f) << 8;
                let nibbles = _mm256_set1_epi16(nibbles);
                for (sum, rows) in sums.iter_mut().zip(columns.as_chunks::<32>().0) {
                    let rows = transmute::<[u8; 32], __m256i>(*rows);
                    *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(rows, nibbles));
                }
            }
            transmute::<[__m256i; 4], [u16; 64]>(sums)
        }
    }
}

impl BitXor for Eight {
    type Output = Self;
    #[inline(always)]
    fn bitxor(self, other: Self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }
}

impl BitAnd for Eight {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }
}

impl Word32 for Eight {
    const LANES: usize = 8;

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn left<const L: i32, const R: i32>(self) -> Self {
        const { assert!(L + R == 32, "a rotation and its complement") };
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_or_si256(_mm256_slli_epi32::<L>(self.0), _mm256_srli_epi32::<R>(self.0)) })
    }

    #[inline(always)]
    fn shift_right<const N: i32>(self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_srli_epi32::<N>(self.0) })
    }

    #[inline(always)]
    fn each(self) -> impl IntoIterator<Item = u32> {
        // SAFETY: both types have 32 bytes, and any bits are a value of either.
        unsafe { transmute::<__m256i, [u32; 8]>(self.0) }
    }
}

impl BitXor for FourWide {
    type Output = Self;
    #[inline(always)]
    fn bitxor(self, other: Self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }
}

impl Word64 for FourWide {
    const LANES: usize = 4;

    #[inline(always)]
    fn not_and(self, other: Self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_andnot_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn left<const L: i32, const R: i32>(self) -> Self {
        const { assert!(L + R == 64, "a rotation and its complement") };
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_or_si256(_mm256_slli_epi64::<L>(self.0), _mm256_srli_epi64::<R>(self.0)) })
    }

    #[inline(always)]
    fn each(self) -> impl IntoIterator<Item = u64> {
        // SAFETY: both types have 32 bytes, and any bits are a value of either.
        unsafe { transmute::<__m256i, [u64; 4]>(self.0) }
    }
}

impl BitXor for TwoFours {
    type Output = Self;
    #[inline(always)]
    fn bitxor(self, other: Self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }
}

impl Quad for TwoFours {
    const LANES: usize = 2;

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn left<const L: i32, const R: i32>(self) -> Self {
        const { assert!(L + R == 32, "a rotation and its complement") };
        // SAFETY: see `Avx2`.
        Self(unsafe { _mm256_or_si256(_mm256_slli_epi32::<L>(self.0), _mm256_srli_epi32::<R>(self.0)) })
    }

    #[inline(always)]
    fn turn<const N: usize>(self) -> Self {
        // SAFETY: see `Avx2`.
        Self(unsafe {
            match N {
                1 => _mm256_shuffle_epi32::<0b00_11_10_01>(self.0),
                2 => _mm256_shuffle_epi32::<0b01_00_11_10>(self.0),
                3 => _mm256_shuffle_epi32::<0b10_01_00_11>(self.0),
                _ => self.0,
            }
        })
    }

    #[inline(always)]
    fn each(self) -> impl IntoIterator<Item = [u32; 4]> {
        // SAFETY: both types have 32 bytes, and any bits are a value of either.
        unsafe { transmute::<__m256i, [[u32; 4]; 2]>(self.0) }
    }
}

impl Four {
    #[inline(always)]
    pub(super) fn new(words: [u32; 4]) -> Self {
        // SAFETY: both types have 16 bytes, and any bits are a value of either.
        Self(unsafe { transmute::<[u32; 4], __m128i>(words) })
    }
}

impl BitXor for Four {
    type Output = Self;
    #[inline(always)]
    fn bitxor(self, other: Self) -> Self {
        // SAFETY: every processor of this architecture has SSE2.
        Self(unsafe { _mm_xor_si128(self.0, other.0) })
    }
}

impl Quad for Four {
    const LANES: usize = 1;

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: every processor of this architecture has SSE2.
        Self(unsafe { _mm_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn left<const L: i32, const R: i32>(self) -> Self {
        const { assert!(L + R == 32, "a rotation and its complement") };
        // SAFETY: every processor of this architecture has SSE2.
        Self(unsafe { _mm_or_si128(_mm_slli_epi32::<L>(self.0), _mm_srli_epi32::<R>(self.0)) })
    }

    #[inline(always)]
    fn turn<const N: usize>(self) -> Self {
        // SAFETY: every processor of this architecture has SSE2.
        Self(unsafe {
            match N {
                1 => _mm_shuffle_epi32::<0b00_11_10_01>(self.0),
                2 => _mm_shuffle_epi32::<0b01_00_11_10>(self.0),
                3 => _mm_shuffle_epi32::<0b10_01_00_11>(self.0),
                _ => self.0,
            }
        })
    }

    #[inline(always)]
    fn each(self) -> impl IntoIterator<Item = [u32; 4]> {
        // SAFETY: both types have 16 bytes, and any bits are a value of either.
        [unsafe { transmute::<__m128i, [u32; 4]>(self.0) }]
    }
}
