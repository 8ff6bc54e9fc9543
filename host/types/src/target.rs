//! Targets: the number that a hash must not exceed.

use crate::{Work, WorkShift};
use primitive_types::U256;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A 256-bit target. A hash meets it when, read as a number, it is at most the target. Bytes are big-endian
/// throughout; a recipe says in which order a hash is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target([u8; 32]);

/// A target or difficulty that no share can be judged by.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Compact bits with the sign bit or an exponent that leaves 256 bits.
    #[error("compact target {0:#010x} is negative or does not fit 256 bits")]
    Compact(u32),
    /// A difficulty that is zero, negative, infinite or not a number.
    #[error("difficulty {0} is not a positive finite number")]
    Difficulty(String),
}

impl Target {
    /// The easiest target: every hash meets it.
    pub const MAX: Self = Self([0xff; 32]);
    /// Bitcoin's target of difficulty 1 ("bdiff"): 0xffff * 2^208.
    pub const BITCOIN_DIFF1: Self = {
        let mut bytes = [0; 32];
        bytes[4] = 0xff;
        bytes[5] = 0xff;
        Self(bytes)
    };

    /// From 32 big-endian bytes.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As 32 big-endian bytes.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Bitcoin's compact form ("nBits"): mantissa of 23 bits and sign, exponent in bytes.
    ///
    /// # Errors
    /// When the value is negative or needs more than 256 bits.
    pub fn from_compact(bits: u32) -> Result<Self, TargetError> {
        let (exponent, mantissa) = (bits >> 24, bits & 0x007f_ffff);
        if mantissa != 0 && bits & 0x0080_0000 != 0 {
            return Err(TargetError::Compact(bits));
        }
        let mantissa = U256::from(mantissa);
        let value = if exponent <= 3 {
            mantissa >> (8 * (3 - exponent))
        } else {
            let shift = 8 * (exponent - 3);
            if !mantissa.is_zero() && mantissa.bits() + shift as usize > 256 {
                return Err(TargetError::Compact(bits));
            }
            mantissa << shift
        };
        Ok(Self(value.to_big_endian()))
    }

    /// The target of a difficulty above a family's target of difficulty 1: `diff1 / difficulty`, at most
    /// [`Target::MAX`] and at least 1. The quotient is rounded to 53 bits, as pools that divide doubles have it:
    /// miners compare their own arithmetic with ours, and 0.0005 has to give `000007cff83` and zeros.
    ///
    /// # Errors
    /// When the difficulty is not a positive finite number.
    pub fn from_difficulty(difficulty: f64, diff1: Self) -> Result<Self, TargetError> {
        if !difficulty.is_finite() || difficulty <= 0.0 {
            return Err(TargetError::Difficulty(difficulty.to_string()));
        }
        // difficulty = mantissa * 2^exponent with an integer mantissa of 53 bits.
        let bits = difficulty.to_bits();
        let raw_exponent = (bits >> 52) & 0x7ff;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = if raw_exponent == 0 {
            (fraction, -1074_i64)
        } else {
            (fraction | 1 << 52, i64::try_from(raw_exponent).unwrap_or(0) - 1075)
        };
        // Trailing zeros go into the exponent, so that powers of two divide exactly.
        let zeros = mantissa.trailing_zeros();
        let (mantissa, exponent) = (U256::from(mantissa >> zeros), exponent + i64::from(zeros));
        let numerator = U256::from_big_endian(&diff1.0);
        let value = if exponent >= 0 {
            let shift = usize::try_from(exponent).unwrap_or(usize::MAX);
            if shift >= 256 { U256::zero() } else { (numerator / mantissa) >> shift }
        } else {
            // Shift up as far as 256 bits allow, divide, shift by the rest.
            let shift = usize::try_from(-exponent).unwrap_or(usize::MAX);
            let room = (256 - numerator.bits()).min(shift);
            let quotient = (numerator << room) / mantissa;
            let rest = shift - room;
            if !quotient.is_zero() && quotient.bits() + rest > 256 {
                return Ok(Self::MAX);
            }
            if rest >= 256 { U256::zero() } else { quotient << rest }
        };
        Ok(Self(rounded_to_53_bits(value).max(U256::one()).to_big_endian()))
    }

    /// The difficulty of this target: `diff1 / target`, for showing and for vardiff; never for money.
    #[must_use]
    pub fn difficulty(self, diff1: Self) -> f64 {
        approximate(diff1) / approximate(self).max(f64::MIN_POSITIVE)
    }

    /// Whether a hash given as big-endian bytes meets this target.
    #[must_use]
    pub fn is_met_by(&self, hash_be: &[u8; 32]) -> bool {
        *hash_be <= self.0
    }

    /// The expected number of hashes to meet this target, 2^256 / (target + 1), as 256 bits; 2^256 - 1 for
    /// target 0. Bitcoin Core computes chain work with the same formula (`GetBlockProof`).
    #[must_use]
    pub fn expected_hashes(self) -> U256 {
        let target = U256::from_big_endian(&self.0);
        match target.checked_add(U256::one()) {
            None => U256::one(),
            // 2^256 / (t+1) = (2^256 - (t+1)) / (t+1) + 1, which fits 256 bits.
            Some(next) => ((!target) / next).saturating_add(U256::one()),
        }
    }

    /// The work of a share judged by this target, in units of 2^shift hashes, rounded down, saturating.
    #[must_use]
    pub fn work(self, shift: WorkShift) -> Work {
        let units = self.expected_hashes() >> usize::from(shift.0);
        Work(if units > U256::from(u64::MAX) { u64::MAX } else { units.low_u64() })
    }
}

fn rounded_to_53_bits(value: U256) -> U256 {
    let Some(excess) = value.bits().checked_sub(53).filter(|bits| *bits > 0) else { return value };
    let half = U256::one() << (excess - 1);
    match value.checked_add(half) {
        Some(raised) => (raised >> excess) << excess,
        None => U256::MAX,
    }
}

fn approximate(target: Target) -> f64 {
    target.0.iter().fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From the table of vectors: bits 1b0404cb are difficulty 16307.420938523983.
    #[test]
    fn compact_bits_and_difficulty_agree_with_the_classic_vector() {
        let target = Target::from_compact(0x1b04_04cb).unwrap();
        assert_eq!(target.difficulty(Target::BITCOIN_DIFF1), 16_307.420_938_523_983);
    }

    #[test]
    fn difficulty_0_0005_has_the_target_that_ckpool_uses() {
        let target = Target::from_difficulty(0.0005, Target::BITCOIN_DIFF1).unwrap();
        assert!(target.to_string().starts_with("000007cff83"), "{target}");
    }

    #[test]
    fn regtest_difficulties_are_powers_of_two_below_one() {
        let target = Target::from_compact(0x207f_ffff).unwrap();
        assert_eq!(target.expected_hashes(), U256::from(2));
        assert_eq!(Target::from_difficulty(1e-300, Target::BITCOIN_DIFF1), Ok(Target::MAX));
        let hard = Target::from_difficulty(1e300, Target::BITCOIN_DIFF1).unwrap();
        assert_eq!(hard.expected_hashes() >> 255, U256::one());
    }

    #[test]
    fn compact_bits_that_do_not_fit_are_refused() {
        assert!(Target::from_compact(0x0480_0001).is_err());
        assert!(Target::from_compact(0xff00_0001).is_err());
        assert!(Target::from_compact(0x2100_8000).is_ok());
        assert!(Target::from_compact(0x2101_0000).is_err());
        assert_eq!(Target::from_compact(0x1d00_ffff), Ok(Target::BITCOIN_DIFF1));
    }

    #[test]
    fn what_is_not_a_difficulty_is_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Target::from_difficulty(bad, Target::BITCOIN_DIFF1).is_err());
        }
    }

    #[test]
    fn work_is_counted_in_units_of_two_to_the_shift() {
        assert_eq!(Target::BITCOIN_DIFF1.work(WorkShift(0)), Work(0x1_0001_0001));
        assert_eq!(Target::BITCOIN_DIFF1.work(WorkShift(16)), Work(0x1_0001));
        assert_eq!(Target::from_be_bytes([0; 32]).work(WorkShift(0)), Work(u64::MAX));
        assert_eq!(Target::MAX.work(WorkShift(0)), Work(1));
    }

    proptest! {
        #[test]
        fn a_difficulty_survives_its_target(exponent in -20_i32..100, mantissa in 1_u32..100_000) {
            let difficulty = f64::from(mantissa) * 2_f64.powi(exponent);
            let target = Target::from_difficulty(difficulty, Target::BITCOIN_DIFF1).unwrap();
            prop_assume!(target != Target::MAX);
            let back = target.difficulty(Target::BITCOIN_DIFF1);
            prop_assert!((back / difficulty - 1.0).abs() < 1e-9, "{} became {}", difficulty, back);
        }

        #[test]
        fn an_easier_target_is_never_more_work(a: [u8; 32], b: [u8; 32]) {
            let (easy, hard) = (Target::from_be_bytes(a.max(b)), Target::from_be_bytes(a.min(b)));
            prop_assert!(easy.work(WorkShift(0)) <= hard.work(WorkShift(0)));
        }
    }
}
