//! The expected values, each by its formula.

use millpond_stream::maths::{exp, exp_m1, ln, ln_1p};

/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_901_532_9;

/// The exponential integral E₁(x) = ∫ from x of e^(-t)/t, for x from 0 to about 2, by its series.
pub(crate) fn exponential_integral(x: f64) -> f64 {
    let (mut sum, mut term) = (-GAMMA - ln(x), 1.0);
    for k in 1..60 {
        let k = f64::from(k);
        term *= -x / k;
        sum -= term / k;
    }
    sum
}

/// Where a function that is above 0 at `low` and below at `high` is 0.
pub(crate) fn root(mut low: f64, mut high: f64, of: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if of(middle) > 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The age x₀ of a proportional round, in expected rounds, from which a share is worth less than elsewhere: what it is paid
/// is E[1/(x + T)] with T exponential, that is e^x E₁(x), and 1 at x₀. (M. Rosenfeld, "Analysis of Bitcoin pooled mining reward
/// systems", 2011.)
pub(crate) fn hopping_age() -> f64 {
    root(0.1, 1.0, |x| exp(x) * exponential_integral(x) - 1.0)
}

/// E[min(X, x₀)] of an exponential X: what a hopper spends of an expected round.
pub(crate) fn stays() -> f64 {
    1.0 - exp(-hopping_age())
}

/// E[min(X, x₀)/X]: what he is paid for it.
pub(crate) fn earns() -> f64 {
    hopping_age() * exp(-hopping_age()) + stays()
}

/// What an early share is worth under Slush's method. Rounds of N shares, geometric with the mean D, in which the j-th counts
/// e^(j/g): the first m of a round are paid E[(e^(min/g) - 1)/(e^(N/g) - 1)] D/E[min] of their fair value, min = min(N, m).
pub(crate) fn early_scores(per_block: f64, growth: f64, early: f64) -> f64 {
    let (mut sum, mut shares, mut likely) = (0.0, 1.0, 1.0 / per_block);
    // From 40 g beyond the early ones on a round pays them less than e^-40.
    while shares < early + 40.0 * growth {
        sum += likely * exp_m1(shares.min(early) / growth) / exp_m1(shares / growth);
        (shares, likely) = (shares + 1.0, likely * (1.0 - 1.0 / per_block));
    }
    sum / (1.0 - none_of(per_block, early))
}

/// E[1/N] · D of a geometric N with mean D: ln D/(1 - 1/D).
pub(crate) fn inverse_round(per_block: f64) -> f64 {
    ln(per_block) / (1.0 - 1.0 / per_block)
}

/// The ruin exponent of a reserve that loses one credit at each share and wins `levels` credits at a block, which is one of
/// `per_block` shares: ρ > 0 with (1 - p) e^ρ + p e^(-(levels - 1) ρ) = 1. A walk down by one at a time is ruined from m with
/// e^(-ρ m), exactly.
pub(crate) fn ruin_exponent(per_block: f64, levels: f64) -> f64 {
    let p = 1.0 / per_block;
    // Both terms less their part of the 1: small where ρ is. Below the root their sum is negative; 0 is a root too.
    let away = |rho: f64| (1.0 - p) * exp_m1(rho) + p * exp_m1(-(levels - 1.0) * rho);
    root(0.01 / levels, 1.0 / levels, |rho| -away(rho))
}

/// (1 - 1/D)^n.
pub(crate) fn none_of(per_block: f64, n: f64) -> f64 {
    exp(n * ln_1p(-1.0 / per_block))
}

/// Blocks a day at a difficulty of Bitcoin's kind, where one share is due in 2^32 hashes.
pub(crate) fn blocks_a_day(hashes_a_second: f64, difficulty: f64) -> f64 {
    86_400.0 * hashes_a_second / (4_294_967_296.0 * difficulty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_stream::maths::power;

    /// The figures as they were published, or computed by other means: to the last digit that stands there.
    #[test]
    fn formulas_give_the_published_figures() {
        let near = |value: f64, published: f64, digits: i32| {
            let room = 0.51 / power(10.0, f64::from(digits));
            assert!((value - published).abs() < room, "{value} is not {published}");
        };
        near(exponential_integral(1.0), 0.219_383_934_395_520_3, 14);
        near(hopping_age(), 0.434_818, 6);
        near(1.0 + hopping_age() * exp(-hopping_age()), 1.281_494, 6);
        near(earns() / stays(), 1.798_297, 6);
        near((1.0 - 0.2 * earns()) / (1.0 - 0.2 * stays()), 0.939_43, 5);
        // Of shares without a size, by another integral: C a quarter, a fifth and 0.3 of a round.
        let scores = |part: f64| early_scores(1e5, part * 1e5, 43_482.0);
        near(scores(0.25), 1.336_38, 4);
        near(scores(0.2), 1.289_46, 4);
        near(scores(0.3), 1.375_88, 4);
        near(inverse_round(1000.0) - 1.0, 5.914_67, 5);
        near(none_of(1000.0, 8000.0), 3.34e-4, 6);
        near(50.0 * blocks_a_day(1e9, 1_690_906.0), 0.594_85, 5);
        near(ruin_exponent(95.0, 100.0) * 100.0, 0.104_543, 6);
        near(ruin_exponent(950.0, 1000.0) * 1000.0, 0.103_584, 6);
        // For D without end: 1 - e^(-ρ) = (1 - f) ρ.
        let endless = root(1e-7, 1.0, |rho| 1.0 - exp(-rho) - 0.95 * rho);
        near(exp(-endless * 29.957), 0.045_05, 5);
        near(ruin_exponent(95e6, 1e8) * 1e8, endless, 6);
    }
}
