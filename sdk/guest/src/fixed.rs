//! Fixed point for schemes that keep scores: products of 256 bits, powers of two, and a divisor that only grows.
//!
//! Qn is a number with n bits of fraction. Everything is rounded down.

use crate::apportion::divide_3_by_2;

const MASK: u128 = u64::MAX as u128;

/// `a * b` as (high, low) halves of 128 bits.
fn product(a: u128, b: u128) -> (u128, u128) {
    let ([a1, a0], [b1, b0]) = ([a >> 64, a & MASK], [b >> 64, b & MASK]);
    let (low, high) = (a0 * b0, a1 * b1);
    // Of two digits each: the sums fit, since (2^64 - 1)^2 + 2 (2^64 - 1) < 2^128.
    let middle = a1 * b0 + (low >> 64);
    let other = a0 * b1 + (middle & MASK);
    (high + (middle >> 64) + (other >> 64), (other << 64) | (low & MASK))
}

/// (high, low) / divisor; `None` when the quotient has more than 128 bits, or the divisor is 0.
fn quotient((high, low): (u128, u128), divisor: u128) -> Option<u128> {
    if high >= divisor {
        return None;
    }
    if high == 0 {
        return Some(low / divisor);
    }
    // Two digits of the quotient, each of three digits over two; what is left is below the divisor.
    let above = low >> 64;
    let first = u128::from(divide_3_by_2(high >> 64, high & MASK, above, divisor)?);
    let rest = ((high << 64) | above).wrapping_sub(first.wrapping_mul(divisor));
    let second = u128::from(divide_3_by_2(rest >> 64, rest & MASK, low & MASK, divisor)?);
    Some((first << 64) | second)
}

/// `floor(a * b / c)`; `None` when it does not fit 128 bits, or c is 0.
pub fn mul_div128(a: u128, b: u128, c: u128) -> Option<u128> {
    quotient(product(a, b), c)
}

/// `floor(a * b / 2^shift)` for a shift up to 127; `None` when it does not fit 128 bits.
pub fn mul_shift(a: u128, b: u128, shift: u32) -> Option<u128> {
    let (high, low) = product(a, b);
    if shift == 0 {
        return (high == 0).then_some(low);
    }
    let kept = 128_u32.checked_sub(shift).filter(|kept| *kept > 0)?;
    (high >> shift == 0).then_some((high << kept) | (low >> shift))
}

/// What a share is worth: `floor(work * reward * 2^frac / network)`, frac up to 64; `None` when it does not fit 128 bits,
/// or the network is 0.
pub fn value(work: u128, reward: u64, network: u128, frac: u32) -> Option<u128> {
    let (high, low) = product(work, u128::from(reward));
    if frac == 0 {
        return quotient((high, low), network);
    }
    let above = 128_u32.checked_sub(frac).filter(|above| *above >= 64)?;
    // The high half of work * reward has 64 bits: nothing is shifted out.
    quotient(((high << frac) | (low >> above), low << frac), network)
}

/// The divisor of all scores: a number that only grows, as `mantissa * 2^-64 * 2^(32 * epoch)` with the mantissa Q64 in
/// [1, 2^32). A score that was written at an epoch is worth 2^32 less with each epoch after it, and nothing from the fourth
/// on. So nothing that it divides is ever rewritten because it grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    mantissa: u128,
    epoch: u64,
}

/// Epochs after which a score is nothing.
const FORGOTTEN: u64 = 4;
const ONE: u128 = 1 << 64;
const EPOCH: u32 = 32;

impl Scale {
    /// One, at the beginning.
    pub const ONE: Self = Self { mantissa: ONE, epoch: 0 };

    /// The mantissa, Q64.
    pub const fn mantissa(self) -> u128 {
        self.mantissa
    }

    /// The epoch.
    pub const fn epoch(self) -> u64 {
        self.epoch
    }

    /// As it stands in a memo.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.mantissa.to_le_bytes()[..], &self.epoch.to_le_bytes()].concat()
    }

    /// From a memo; one from an empty memo, and `None` from one that no scale has written.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::ONE);
        }
        let (mantissa, epoch) = bytes.split_first_chunk::<16>()?;
        let scale = Self {
            mantissa: u128::from_le_bytes(*mantissa),
            epoch: u64::from_le_bytes(epoch.try_into().ok()?),
        };
        (scale.mantissa >= ONE && scale.mantissa >> (64 + EPOCH) == 0).then_some(scale)
    }

    /// Times 1 + `by`, Q64. `None` beyond 128 bits.
    pub fn grow(&mut self, by: u128) -> Option<()> {
        self.mantissa = self.mantissa.checked_add(mul_shift(self.mantissa, by, 64)?)?;
        self.normalise()
    }

    /// Times num / den, which is at least 1. `None` beyond 128 bits.
    pub fn times(&mut self, num: u64, den: u64) -> Option<()> {
        self.mantissa = mul_div128(self.mantissa, u128::from(num.max(den)), u128::from(den))?;
        self.normalise()
    }

    fn normalise(&mut self) -> Option<()> {
        while self.mantissa >> (64 + EPOCH) > 0 {
            self.mantissa >>= EPOCH;
            self.epoch = self.epoch.checked_add(1)?;
        }
        Some(())
    }

    /// Far enough that every score is nothing.
    pub fn forget(&mut self) -> Option<()> {
        *self = Self { mantissa: ONE, epoch: self.epoch.checked_add(FORGOTTEN)? };
        Some(())
    }

    /// What a score that was written at this epoch is now.
    pub fn aged(self, score: u128, epoch: u64) -> u128 {
        match self.epoch.saturating_sub(epoch) {
            past @ 0..FORGOTTEN => score.checked_shr(past as u32 * EPOCH).unwrap_or(0),
            _ => 0,
        }
    }

    /// `floor(score / scale)` within the present epoch.
    pub fn divide(self, score: u128) -> Option<u128> {
        mul_div128(score, ONE, self.mantissa)
    }

    /// Two to a power that is Q64.
    pub fn exp2(power: u128) -> Self {
        let (whole, fraction) = ((power >> 64) as u64, power as u64);
        let mantissa = u128::from(exp2_q(fraction)) << 1 << (whole % u64::from(EPOCH));
        Self { mantissa, epoch: whole / u64::from(EPOCH) }
    }

    /// The power of two behind which every score of this one is nothing, Q64; `None` beyond 128 bits.
    pub fn forgotten(power: u128) -> Option<u128> {
        let epoch = (power >> 64) / u128::from(EPOCH) + u128::from(FORGOTTEN);
        (epoch * u128::from(EPOCH)).checked_mul(ONE)
    }
}

/// The bits of a fraction that choose a step of the table.
const STEPS: u32 = 6;
/// ln 2, Q64.
const LN_2: u128 = 0xb172_17f7_d1cf_79ab;

/// 2^(i/64), Q63: products of the square roots of two, of their roots and so on, each rounded down.
#[expect(clippy::indexing_slicing, reason = "of a constant: what is out of bounds does not compile")]
const POWERS: [u64; 1 << STEPS] = {
    let mut powers = [1_u64 << 63; 1 << STEPS];
    // 2^(1/2), then 2^(1/4): a root of Q126 is Q63.
    let mut root = 2_u128 << 63;
    let mut bit = 1 << STEPS;
    while bit > 1 {
        bit >>= 1;
        root = (root << 63).isqrt();
        let mut at = 0;
        while at < powers.len() {
            if at & bit > 0 {
                powers[at] = ((powers[at] as u128 * root) >> 63) as u64;
            }
            at += 1;
        }
    }
    powers
};

/// 2^x of a fraction x, Q64, as Q63 in [1, 2). Below the exact power by less than 2^-57 of it.
pub fn exp2_q(x: u64) -> u64 {
    let place = 64 - STEPS;
    let power = POWERS.get((x >> place) as usize).copied().unwrap_or(0);
    // What is left is below 2^-6. e^z = 1 + z (1 + z/2 (1 + z/3 ...)), of which z^7/7! is below 2^-58.
    let z = (u128::from(x & ((1 << place) - 1)) * LN_2) >> 64;
    let rest = (1..=6).rev().fold(ONE, |rest, n| ONE + ((z * rest) >> 64) / n);
    ((u128::from(power) * rest) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitive_types::U512;
    use proptest::prelude::*;

    fn fits(wide: U512) -> Option<u128> {
        (wide.bits() <= 128).then(|| wide.low_u128())
    }

    /// Numbers of every length.
    fn number() -> impl Strategy<Value = u128> {
        (any::<u128>(), 0..128_u32).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn products_and_quotients_equal_wide_arithmetic(a in number(), b in number(), c in number(), shift in 0..128_u32) {
            let wide = U512::from(a) * U512::from(b);
            let (high, low) = product(a, b);
            prop_assert_eq!((U512::from(high) << 128) + U512::from(low), wide);
            let exact = wide.checked_div(U512::from(c)).and_then(fits);
            prop_assert_eq!(mul_div128(a, b, c), exact);
            prop_assert_eq!(mul_shift(a, b, shift), fits(wide >> shift));
        }

        #[test]
        fn a_quotient_next_to_a_multiple_is_exact(q in number(), c in number(), below in 0..2_u128) {
            // The digits of a quotient are guessed wrong most often here.
            let wide = U512::from(q) * U512::from(c);
            prop_assume!(c > 0 && wide >= U512::from(below));
            let wide = wide - U512::from(below);
            let (high, low) = ((wide >> 128).low_u128(), wide.low_u128());
            prop_assert_eq!(quotient((high, low), c), fits(wide / U512::from(c)));
        }

        #[test]
        fn a_value_equals_wide_arithmetic(work in number(), reward: u64, network in number(), frac in 0..65_u32) {
            let wide = (U512::from(work) * U512::from(reward)) << frac;
            let exact = wide.checked_div(U512::from(network)).and_then(fits);
            prop_assert_eq!(value(work, reward, network, frac), exact);
        }

        #[test]
        fn a_scale_is_the_product_of_what_it_grew_by(steps in proptest::collection::vec((1..1_u64 << 40, 1..1_u64 << 40), 1..40)) {
            // Against a number with 256 bits of fraction that is never normalised.
            let (mut scale, mut exact) = (Scale::ONE, U512::from(1) << 256);
            for (a, b) in steps {
                let (num, den) = (a.max(b), a.min(b));
                scale.times(num, den).unwrap();
                exact = exact * U512::from(num) / U512::from(den);
                if exact.bits() > 440 {
                    break;
                }
            }
            let told = U512::from(scale.mantissa()) << (192 + 32 * scale.epoch() as usize);
            prop_assert!(told <= exact);
            // Each step drops less than 2^-64 of it, and less than 2^-64 with each epoch.
            prop_assert!(exact - told <= exact >> 57, "{} epochs", scale.epoch());
            prop_assert_eq!(Scale::from_bytes(&scale.to_bytes()), Some(scale));
        }
    }

    /// Bits of the reference's fraction.
    const FINE: usize = 250;

    /// 2^(2^-n) for n from 1 on, by roots of 512 bits.
    fn roots() -> Vec<U512> {
        let mut root = U512::from(2) << FINE;
        let next = |_| {
            root = (root << FINE).integer_sqrt();
            root
        };
        (0..64).map(next).collect()
    }

    /// Whether this is 2^x less 2^-57 of it at most.
    fn is_below(told: u64, exact: U512) -> bool {
        let told = U512::from(told) << (FINE - 63);
        told <= exact && exact - told < exact >> 57
    }

    #[test]
    fn a_power_of_two_is_exact_to_57_bits_and_rises_at_a_million_points() {
        let step = roots()[19];
        let (mut exact, mut before) = (U512::from(1) << FINE, 0);
        for point in 0..1_u64 << 20 {
            let told = exp2_q(point << 44);
            assert!(is_below(told, exact), "{told} at {point}");
            assert!(told > before && exp2_q((point << 44).saturating_sub(1)) <= told, "{point}");
            exact = (exact * step) >> FINE;
            before = told;
        }
        // Each step lost less than a unit of the reference: so it came out at 2.
        assert!((U512::from(2) << FINE) - exact < U512::from(1) << 25);
        assert_eq!((exp2_q(0), exp2_q(1 << 63)), (1 << 63, 13_043_817_825_332_782_212));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_power_of_two_is_exact_to_57_bits_anywhere(x: u64) {
            thread_local!(static ROOTS: Vec<U512> = roots());
            let exact = ROOTS.with(|roots| {
                let of = |product: U512, n: usize| if x >> (63 - n) & 1 > 0 { (product * roots[n]) >> FINE } else { product };
                (0..64).fold(U512::from(1) << FINE, of)
            });
            prop_assert!(is_below(exp2_q(x), exact), "2^({x}/2^64)");
        }

        #[test]
        fn a_scale_by_its_power_is_the_scale(power in 0..1_u128 << 80, more in 0..1_u128 << 70) {
            let scale = Scale::exp2(power);
            prop_assert_eq!(Scale::from_bytes(&scale.to_bytes()), Some(scale));
            prop_assert_eq!(u128::from(scale.epoch() * 32 + u64::from(scale.mantissa().ilog2() - 64)), power >> 64);
            // A later one is larger, and what it divides is worth less.
            let later = Scale::exp2(power + more);
            prop_assert!((later.epoch(), later.mantissa()) >= (scale.epoch(), scale.mantissa()));
            let forgotten = Scale::exp2(Scale::forgotten(power).unwrap());
            prop_assert_eq!((forgotten.mantissa(), forgotten.aged(u128::MAX, scale.epoch())), (ONE, 0));
        }
    }

    #[test]
    fn the_edges_neither_wrap_nor_trap() {
        assert_eq!(mul_div128(u128::MAX, u128::MAX, u128::MAX), Some(u128::MAX));
        assert_eq!(mul_div128(u128::MAX, 2, 1), None);
        assert_eq!(mul_div128(1, 1, 0), None);
        assert_eq!(mul_shift(u128::MAX, u128::MAX, 127), None);
        assert_eq!(mul_shift(u128::MAX, 1, 127), Some(1));
        assert_eq!(value(1, 1, 0, 64), None);
        assert_eq!(Scale::forgotten(u128::MAX), None);
        assert_eq!(value(1, 1, 1, 65), None);
        assert_eq!(value(u128::MAX, u64::MAX, u128::MAX, 64), Some(u128::from(u64::MAX) << 64));
    }

    #[test]
    fn a_score_is_worth_less_with_each_epoch_and_nothing_after_the_fourth() {
        let mut scale = Scale::ONE;
        assert_eq!(scale.divide(77), Some(77));
        scale.times(1 << 40, 1).unwrap();
        assert_eq!((scale.epoch(), scale.mantissa()), (1, 1 << 72));
        assert_eq!(scale.aged(5 << 40, 0), 5 << 8);
        assert_eq!(scale.divide(scale.aged(5 << 40, 0)), Some(5));
        scale.forget().unwrap();
        assert_eq!((scale.aged(u128::MAX, 0), scale.aged(u128::MAX, 1)), (0, 0));
        assert_eq!(scale.aged(9, scale.epoch()), 9);
        for bad in [&[1][..], &[0; 24], &[0xff; 24]] {
            assert_eq!(Scale::from_bytes(bad), None, "{bad:?}");
        }
    }
}
