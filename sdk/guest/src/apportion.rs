//! Exact shares of an amount in integers.
//!
//! Nothing here rounds more than once and nothing uses floating point. Weights are u128 sums of work and amounts
//! are u64 ledger units, so a product has up to 192 bits: it is never formed in 128.

/// `floor(amount * weight / total)`, exact for every input with `weight <= total` and `total > 0`.
/// `None` otherwise, since the quotient might not fit.
pub fn mul_div(amount: u64, weight: u128, total: u128) -> Option<u64> {
    if total == 0 || weight > total {
        return None;
    }
    // Small weights, the usual case: the product fits 128 bits.
    if let Some(product) = weight.checked_mul(u128::from(amount)) {
        return u64::try_from(product / total).ok();
    }
    // The product as three digits of 64 bits, most significant first.
    let low = (weight & MASK) * u128::from(amount);
    let high = (weight >> 64) * u128::from(amount) + (low >> 64);
    divide_3_by_2(high >> 64, high & MASK, low & MASK, total)
}

const MASK: u128 = u64::MAX as u128;

/// One quotient digit of (n2 n1 n0) / divisor in base 2^64 (Knuth, TAOCP 4.3.1, algorithm D with n = 2, m = 1).
/// The caller has shown that the quotient fits one digit.
pub(crate) fn divide_3_by_2(n2: u128, n1: u128, n0: u128, divisor: u128) -> Option<u64> {
    // Normalise so that the divisor's top bit is set; the quotient does not change.
    let shift = divisor.leading_zeros();
    if shift >= 64 {
        // A divisor of one digit: two plain steps of schoolbook division.
        let first = (n2 << 64) | n1;
        let rest = first % divisor;
        return u64::try_from(((rest << 64) | n0) / divisor).ok();
    }
    let divisor = divisor << shift;
    let (d1, d0) = (divisor >> 64, divisor & MASK);
    let spill = |digit: u128| if shift == 0 { 0 } else { digit >> (64 - shift) };
    let n2 = ((n2 << shift) & MASK) | spill(n1);
    let n1 = ((n1 << shift) & MASK) | spill(n0);
    let n0 = (n0 << shift) & MASK;

    let top = (n2 << 64) | n1;
    let mut digit = (top / d1).min(MASK);
    let mut rest = top - digit * d1;
    while rest <= MASK && digit * d0 > ((rest << 64) | n0) {
        digit -= 1;
        rest += d1;
    }
    u64::try_from(digit).ok()
}

/// Splits `amount` over `weights` by cumulative floor: the i-th part is
/// `floor(amount * W_i / total) - floor(amount * W_(i-1) / total)` with running sums W. The parts add up to exactly
/// `amount`, and each is within one unit of its exact share. All zero when the weights sum to zero.
///
/// `Err` when the weights overflow u128, which no sum of work can.
pub fn cumulative(amount: u64, weights: impl Iterator<Item = u128> + Clone) -> Result<Vec<u64>, String> {
    let total = sum(weights.clone())?;
    let (mut running, mut given) = (0u128, 0u64);
    Ok(weights
        .map(|weight| {
            running += weight; // cannot overflow: bounded by `total`
            let until = mul_div(amount, running, total).unwrap_or(0);
            let part = until - given;
            given = until;
            part
        })
        .collect())
}

/// Splits `amount` over `weights`, each part rounded down by itself, and returns the parts with what is left: less
/// than one unit per weight, or everything when the weights sum to zero. Independent of order.
///
/// `Err` when the weights overflow u128, which no sum of work can.
pub fn floor(amount: u64, weights: impl Iterator<Item = u128> + Clone) -> Result<(Vec<u64>, u64), String> {
    let total = sum(weights.clone())?;
    let parts: Vec<u64> = weights.map(|weight| mul_div(amount, weight, total).unwrap_or(0)).collect();
    let rest = amount - parts.iter().sum::<u64>();
    Ok((parts, rest))
}

fn sum(mut weights: impl Iterator<Item = u128>) -> Result<u128, String> {
    weights
        .try_fold(0u128, u128::checked_add)
        .ok_or_else(|| "the sum of weights does not fit 128 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitive_types::U256;
    use proptest::prelude::*;

    fn exact(amount: u64, weight: u128, total: u128) -> u64 {
        (U256::from(amount) * U256::from(weight) / U256::from(total)).as_u64()
    }

    #[test]
    fn the_widest_product_does_not_overflow() {
        assert_eq!(mul_div(u64::MAX, u128::MAX, u128::MAX), Some(u64::MAX));
        assert_eq!(mul_div(u64::MAX, u128::MAX - 1, u128::MAX), Some(u64::MAX - 1));
        assert_eq!(mul_div(u64::MAX, 1 << 127, u128::MAX), Some((1 << 63) - 1));
        assert_eq!(mul_div(7, 1, 0), None);
        assert_eq!(mul_div(7, 2, 1), None);
    }

    #[test]
    fn cumulative_floor_gives_everything_and_floor_keeps_a_rest() {
        let weights = [1u128, 1, 1];
        assert_eq!(cumulative(100, weights.into_iter()).unwrap(), [33, 33, 34]);
        assert_eq!(floor(100, weights.into_iter()).unwrap(), (vec![33, 33, 33], 1));
    }

    #[test]
    fn zero_work_earns_zero() {
        assert_eq!(cumulative(100, [0u128, 0].into_iter()).unwrap(), [0, 0]);
        assert_eq!(floor(100, [0u128, 0].into_iter()).unwrap(), (vec![0, 0], 100));
        assert_eq!(cumulative(9, [0u128, 5, 0].into_iter()).unwrap(), [0, 9, 0]);
    }

    proptest! {
        #[test]
        fn mul_div_equals_wide_arithmetic(amount: u64, a: u128, b: u128, narrow in 0u32..128) {
            let (weight, total) = ((a >> narrow).min(b >> narrow), (a >> narrow).max(b >> narrow).max(1));
            prop_assert_eq!(mul_div(amount, weight, total), Some(exact(amount, weight, total)));
        }

        #[test]
        fn cumulative_floor_conserves_and_is_within_one_unit(
            amount: u64, weights in proptest::collection::vec(0u128..1 << 120, 1..40),
        ) {
            let total: u128 = weights.iter().sum();
            prop_assume!(total > 0);
            let parts = cumulative(amount, weights.iter().copied()).unwrap();
            prop_assert_eq!(parts.iter().map(|p| u128::from(*p)).sum::<u128>(), u128::from(amount));
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(part.abs_diff(exact(amount, *weight, total)) <= 1);
            }
        }
    }
}
