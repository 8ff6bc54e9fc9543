//! Several hashes side by side in the lanes of a vector register, and the choice of what the processor at hand can do.
//!
//! An algorithm is written once as a [`Kernel`] over [`Lanes`]; [`Processor::run`] compiles it for plain integers (one
//! lane), for AVX2, and for AVX2's registers with AVX-512's rotations. All of this crate's unsafe code is in this file:
//! the calls into functions built for a processor's extensions, and the intrinsics themselves. A [`Processor`] and the
//! values of `Avx2` exist only after the extension was detected; what follows from them is sound for that reason.
#![allow(unsafe_code, reason = "intrinsics, each behind a value that exists only where they may be executed")]

use std::ops::{BitAnd, BitXor};

/// Which of the processor's extensions are used. What a processor lacks cannot be switched on, so that a value of this
/// type is the proof that its extensions may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    vectors: Vectors,
    sha: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vectors {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Processor {
    /// Everything that this machine has and this crate can use.
    #[must_use]
    pub fn detected() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
            let vectors = match (avx512, avx2) {
                (true, _) => Vectors::Avx512,
                (_, true) => Vectors::Avx2,
                _ => Vectors::Portable,
            };
            let sha = is_x86_feature_detected!("sha")
                && is_x86_feature_detected!("ssse3")
                && is_x86_feature_detected!("sse4.1");
            Self { vectors, sha }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::portable()
    }

    /// What is used: all that this machine has, less what the environment's `MILLPOND_WITHOUT` names, `sha-ni` or
    /// `avx512` or both with a comma. It is there to measure what an extension is worth; other words change nothing.
    #[must_use]
    pub fn allowed() -> Self {
        match std::env::var("MILLPOND_WITHOUT") {
            Ok(words) => Self::detected().without(&words),
            Err(_) => Self::detected(),
        }
    }

    fn without(self, words: &str) -> Self {
        words.split(',').fold(self, |all, word| match word.trim() {
            "sha-ni" => all.without_sha(),
            "avx512" => all.without_avx512(),
            _ => all,
        })
    }

    /// No extension at all: for tests, and to measure what the extensions are worth.
    #[must_use]
    pub const fn portable() -> Self {
        Self { vectors: Vectors::Portable, sha: false }
    }

    /// The same without the instructions for SHA-256.
    #[must_use]
    pub const fn without_sha(self) -> Self {
        Self { sha: false, ..self }
    }

    /// The same with AVX2 in the place of AVX-512.
    #[must_use]
    pub fn without_avx512(self) -> Self {
        #[cfg(target_arch = "x86_64")]
        if self.vectors == Vectors::Avx512 {
            return Self { vectors: Vectors::Avx2, ..self };
        }
        self
    }

    /// Every choice of extensions that this machine allows, the portable one first.
    #[must_use]
    pub fn choices() -> Vec<Self> {
        let mut choices = vec![Self::portable()];
        let all = Self::detected();
        let narrow = all.without_avx512();
        for choice in [narrow.without_sha(), narrow, all.without_sha(), all] {
            if !choices.contains(&choice) {
                choices.push(choice);
            }
        }
        choices
    }

    /// Whether the instructions for SHA-256 are used.
    #[must_use]
    pub const fn has_sha(self) -> bool {
        self.sha
    }

    /// Whether a rotation in all lanes is one instruction.
    pub(crate) fn rotates(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.vectors == Vectors::Avx512;
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Whether a kernel has more than one lane.
    pub(crate) fn has_lanes(self) -> bool {
        self.vectors != Vectors::Portable
    }

    /// Runs a kernel with the widest lanes.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.vectors {
            Vectors::Portable => kernel.run(One),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the variant exists only where AVX2 was detected.
            Vectors::Avx2 => unsafe { x86::with_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the variant exists only where AVX2, AVX-512F and AVX-512VL were detected.
            Vectors::Avx512 => unsafe { x86::with_avx512(kernel) },
        }
    }
}

impl std::fmt::Display for Processor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.vectors {
            Vectors::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => "AVX-512",
        })?;
        f.write_str(if self.sha { " with SHA-NI" } else { "" })
    }
}

/// Code that works on as many lanes as it is given. `run` must be `#[inline(always)]`, and so must all that it calls
/// with lanes: only then is it compiled for the processor's extensions.
pub(crate) trait Kernel {
    /// What it computes.
    type Output;
    /// Computes it.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// A number of lanes. Its value is what words are made with.
pub(crate) trait Lanes: Copy {
    /// Words of 32 bits, [`Word32::LANES`] at once.
    type W32: Word32;
    /// Words of 64 bits, [`Word64::LANES`] at once.
    type W64: Word64;
    /// Four words of 32 bits for each of [`Quad::LANES`] hashes.
    type Quad: Quad;
    /// A word in each lane.
    fn w32(self, lane: impl FnMut(usize) -> u32) -> Self::W32;
    /// One word for all lanes.
    fn splat32(self, word: u32) -> Self::W32;
    /// A word in each lane.
    fn w64(self, lane: impl FnMut(usize) -> u64) -> Self::W64;
    /// One word for all lanes.
    fn splat64(self, word: u64) -> Self::W64;
    /// Four words in each lane.
    fn quad(self, lane: impl FnMut(usize) -> [u32; 4]) -> Self::Quad;
    /// 64 rows of 64 values below 16, two columns together (`pairs[k][2 * row]` and the next one are columns `2 * k` and
    /// `2 * k + 1`), times the 64 nibbles of a hash, the upper one of each byte first.
    fn multiply(self, pairs: &[[u8; 128]; 32], hash: &[u8; 32]) -> [u16; 64];
}

/// Words of 32 bits. `R` of a rotation is 32 less its `L`.
pub(crate) trait Word32: Copy + BitXor<Output = Self> + BitAnd<Output = Self> {
    const LANES: usize;
    fn plus(self, other: Self) -> Self;
    fn left<const L: i32, const R: i32>(self) -> Self;
    fn shift_right<const N: i32>(self) -> Self;
    /// The word of each lane.
    fn each(self) -> impl IntoIterator<Item = u32>;
}

/// Words of 64 bits. `R` of a rotation is 64 less its `L`.
pub(crate) trait Word64: Copy + BitXor<Output = Self> {
    const LANES: usize;
    /// `!self & other`.
    fn not_and(self, other: Self) -> Self;
    fn left<const L: i32, const R: i32>(self) -> Self;
    /// The word of each lane.
    fn each(self) -> impl IntoIterator<Item = u64>;
}

/// Four words of 32 bits for each of some hashes.
pub(crate) trait Quad: Copy + BitXor<Output = Self> {
    const LANES: usize;
    fn plus(self, other: Self) -> Self;
    fn left<const L: i32, const R: i32>(self) -> Self;
    /// Word `i` becomes word `(i + N) % 4`'s value.
    fn turn<const N: usize>(self) -> Self;
    /// The words of each lane.
    fn each(self) -> impl IntoIterator<Item = [u32; 4]>;
}

/// One lane of plain integers.
#[derive(Clone, Copy)]
pub(crate) struct One;

impl Lanes for One {
    type W32 = u32;
    type W64 = u64;
    type Quad = Four;

    #[inline(always)]
    fn w32(self, mut lane: impl FnMut(usize) -> u32) -> u32 {
        lane(0)
    }

    #[inline(always)]
    fn splat32(self, word: u32) -> u32 {
        word
    }

    #[inline(always)]
    fn w64(self, mut lane: impl FnMut(usize) -> u64) -> u64 {
        lane(0)
    }

    #[inline(always)]
    fn splat64(self, word: u64) -> u64 {
        word
    }

    #[inline(always)]
    fn quad(self, mut lane: impl FnMut(usize) -> [u32; 4]) -> Four {
        Four::new(lane(0))
    }

    #[inline(always)]
    fn multiply(self, pairs: &[[u8; 128]; 32], hash: &[u8; 32]) -> [u16; 64] {
        // 64 products of two nibbles: at most 14,400.
        let mut sums = [0_u16; 64];
        for (columns, byte) in pairs.iter().zip(hash) {
            let (high, low) = (u16::from(byte >> 4), u16::from(byte & 0x0f));
            for (sum, two) in sums.iter_mut().zip(columns.as_chunks::<2>().0) {
                let two = u16::from_le_bytes(*two);
                let (a, b) = (two & 0xff, two >> 8);
                *sum = sum.wrapping_add(a.wrapping_mul(high)).wrapping_add(b.wrapping_mul(low));
            }
        }
        sums
    }
}

impl Word32 for u32 {
    const LANES: usize = 1;

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn left<const L: i32, const R: i32>(self) -> Self {
        const { assert!(L + R == 32, "a rotation and its complement") };
        self.rotate_left(L as u32)
    }

    #[inline(always)]
    fn shift_right<const N: i32>(self) -> Self {
        self >> N
    }

    #[inline(always)]
    fn each(self) -> impl IntoIterator<Item = u32> {
        [self]
    }
}

impl Word64 for u64 {
    const LANES: usize = 1;

    #[inline(always)]
    fn not_and(self, other: Self) -> Self {
        !self & other
    }

    #[inline(always)]
    fn left<const L: i32, const R: i32>(self) -> Self {
        const { assert!(L + R == 64, "a rotation and its complement") };
        self.rotate_left(L as u32)
    }

    #[inline(always)]
    fn each(self) -> impl IntoIterator<Item = u64> {
        [self]
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use plain::Four;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::Four;

/// Four words of one hash where there is no vector register to count on.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use super::{BitXor, Quad};

    /// Four words of one hash.
    #[derive(Clone, Copy)]
    pub(crate) struct Four([u32; 4]);

    impl Four {
        pub(super) fn new(words: [u32; 4]) -> Self {
            Self(words)
        }
    }

    impl BitXor for Four {
        type Output = Self;
        #[inline(always)]
        fn bitxor(self, other: Self) -> Self {
            let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
            Self([a ^ e, b ^ f, c ^ g, d ^ h])
        }
    }

    impl Quad for Four {
        const LANES: usize = 1;

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
            Self([a.wrapping_add(e), b.wrapping_add(f), c.wrapping_add(g), d.wrapping_add(h)])
        }

        #[inline(always)]
        fn left<const L: i32, const R: i32>(self) -> Self {
            Self(self.0.map(|word| word.rotate_left(L as u32)))
        }

        #[inline(always)]
        fn turn<const N: usize>(self) -> Self {
            let mut words = self.0;
            words.rotate_left(N);
            Self(words)
        }

        #[inline(always)]
        fn each(self) -> impl IntoIterator<Item = [u32; 4]> {
            [self.0]
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[path = "lanes_x86.rs"]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation of a lane is that of plain integers.
    struct Operations([[u32; 4]; 8]);

    impl Kernel for Operations {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            let given = self.0;
            let (a, b) = (lanes.w32(|i| given[i][0]), lanes.w32(|i| given[i][1]));
            let results =
                [a ^ b, a & b, a.plus(b), a.left::<7, 25>(), a.shift_right::<3>(), lanes.splat32(9)];
            for (k, result) in results.into_iter().enumerate() {
                for (i, word) in result.each().into_iter().enumerate() {
                    let [a, b, ..] = given[i];
                    let plain = [a ^ b, a & b, a.wrapping_add(b), a.rotate_left(7), a >> 3, 9];
                    assert_eq!(word, plain[k], "operation {k} of 32 bits, lane {i}");
                }
            }
            let wide = |i: usize, k: usize| u64::from(given[i][k]) << 32 | u64::from(given[i][k + 1]);
            let (a, b) = (lanes.w64(|i| wide(i, 0)), lanes.w64(|i| wide(i, 2)));
            for (k, result) in
                [a ^ b, a.not_and(b), a.left::<19, 45>(), lanes.splat64(7)].into_iter().enumerate()
            {
                for (i, word) in result.each().into_iter().enumerate() {
                    let (a, b) = (wide(i, 0), wide(i, 2));
                    assert_eq!(word, [a ^ b, !a & b, a.rotate_left(19), 7][k], "operation {k} of 64 bits");
                }
            }
            let (a, b) = (lanes.quad(|i| given[i]), lanes.quad(|i| given[i + 1]));
            let plain = |i: usize| (plain::Four::new(given[i]), plain::Four::new(given[i + 1]));
            macro_rules! same {
                ($with:expr, $plainly:expr) => {
                    for (i, words) in $with(a, b).each().into_iter().enumerate() {
                        let (a, b) = plain(i);
                        assert_eq!(Some(words), $plainly(a, b).each().into_iter().next());
                    }
                };
            }
            same!(|a, b| a ^ b, |a, b| a ^ b);
            same!(Quad::plus, Quad::plus);
            same!(|a: L::Quad, _| a.left::<13, 19>(), |a: plain::Four, _| a.left::<13, 19>());
            same!(|a: L::Quad, _| a.turn::<1>(), |a: plain::Four, _| a.turn::<1>());
            same!(|a: L::Quad, _| a.turn::<2>(), |a: plain::Four, _| a.turn::<2>());
            same!(|a: L::Quad, _| a.turn::<3>(), |a: plain::Four, _| a.turn::<3>());
            let mut pairs = [[0; 128]; 32];
            let bytes = given.iter().flatten().flat_map(|word| word.to_le_bytes()).cycle();
            pairs.iter_mut().flatten().zip(bytes).for_each(|(pair, byte)| *pair = byte & 0x0f);
            let hash = std::array::from_fn(|i| (given[i % 8][1] >> (i % 4 * 8)) as u8);
            assert_eq!(lanes.multiply(&pairs, &hash), One.multiply(&pairs, &hash));
            assert_eq!(lanes.multiply(&[[15; 128]; 32], &[0xff; 32]), [14_400; 64]);
        }
    }

    #[test]
    fn lanes_compute_what_plain_integers_do_on_every_extension_of_this_machine() {
        let given = std::array::from_fn(|i| {
            std::array::from_fn(|k| 0x9e37_79b9_u32.wrapping_mul((5 * i + k + 1) as u32))
        });
        for processor in Processor::choices() {
            processor.run(Operations(given));
        }
    }

    #[test]
    fn extensions_can_be_taken_away_and_never_added() {
        let choices = Processor::choices();
        assert_eq!(choices[0], Processor::portable());
        assert!(!Processor::portable().rotates() && !Processor::detected().without_sha().has_sha());
        assert_eq!(Processor::portable().without_avx512().without_sha(), Processor::portable());
        assert!(choices.contains(&Processor::detected()));
        let all = Processor::detected();
        assert_eq!((all.without(""), all.without("mmx")), (all, all));
        assert_eq!(all.without("sha-ni"), all.without_sha());
        assert_eq!(all.without("avx512, sha-ni"), all.without_avx512().without_sha());
        assert!(!choices.iter().any(|choice| choice.to_string().is_empty()));
    }
}
