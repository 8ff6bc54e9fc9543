//! The functions that are more than IEEE 754 promises, from one pinned library for all platforms. What runs on streams takes them
//! from here, so that its numbers are the same everywhere too.

pub use libm::{exp, expm1 as exp_m1, lgamma as ln_gamma, log as ln, log1p as ln_1p, pow as power};

/// 2^-64, the unit of probabilities here.
pub const UNIT: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// A probability in units of 2^-64 as a float. What is 1 or more is 1.
#[must_use]
pub fn probability(units: u128) -> f64 {
    (units.min(1 << 64) as f64) * UNIT
}

/// The logarithm of the probability of a miss, ln(1 - p), for p in units of 2^-64. It is taken from whichever of p and 1 - p is
/// the smaller, and so is as exact as a float can be from end to end. Minus infinity where nothing misses.
#[must_use]
pub fn ln_miss(units: u128) -> f64 {
    const HALF: u128 = 1 << 63;
    match (1_u128 << 64).checked_sub(units) {
        None | Some(0) => f64::NEG_INFINITY,
        Some(_) if units <= HALF => ln_1p(-probability(units)),
        Some(miss) => ln(probability(miss)),
    }
}

/// What Stirling's formula leaves out: ln k! is (k + ½) ln(k + 1) - (k + 1) + ½ ln 2π and this.
pub(crate) fn stirling_rest(k: f64) -> f64 {
    /// For 0 to 9, where the series is not good enough.
    const FIRST: [f64; 10] = [
        0.081_061_466_795_327_26,
        0.041_340_695_955_409_29,
        0.027_677_925_684_998_34,
        0.020_790_672_103_765_09,
        0.016_644_691_189_821_19,
        0.013_876_128_823_070_75,
        0.011_896_709_945_891_77,
        0.010_411_265_261_972_09,
        0.009_255_462_182_712_733,
        0.008_330_563_433_362_87,
    ];
    if let Some(rest) = FIRST.get(k as usize) {
        return *rest;
    }
    let next = k + 1.0;
    let square = next * next;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square) / next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_keep_their_digits_at_both_ends() {
        assert_eq!(ln_miss(0), 0.0);
        // p = 2^-64: 1 - p is 1 as a float, its logarithm is not 0.
        assert_eq!(ln_miss(1), -UNIT);
        // p = 1 - 2^-64: p is 1 as a float.
        assert!((ln_miss(u128::from(u64::MAX)) + 64.0 * std::f64::consts::LN_2).abs() < 1e-13);
        assert_eq!(ln_miss(1 << 64), f64::NEG_INFINITY);
        assert_eq!(ln_miss(u128::MAX), f64::NEG_INFINITY);
        let half = 1_u128 << 63;
        assert!((ln_miss(half) + std::f64::consts::LN_2).abs() < 1e-16);
        assert!((ln_miss(half + 1) - ln_miss(half)).abs() < 1e-15);
    }

    /// The formula is right to twelve digits from the table through the series' first members to large ones. A rest that is 1 %
    /// off is seen at every k.
    #[test]
    fn stirlings_rest_makes_the_formula_exact() {
        let half_ln_two_pi = 0.918_938_533_204_672_7;
        for k in (0..40).chain([100, 1000, 100_000]) {
            let k = f64::from(k);
            let main = (k + 0.5) * ln(k + 1.0) - (k + 1.0) + half_ln_two_pi;
            let exact = ln_gamma(k + 1.0);
            let room = 1e-12_f64.max(4.0 * f64::EPSILON * exact);
            assert!((main + stirling_rest(k) - exact).abs() <= room, "k = {k}");
            if k < 1000.0 {
                assert!((main + stirling_rest(k) * 1.01 - exact).abs() > room, "the twin at k = {k}");
            }
        }
    }
}
