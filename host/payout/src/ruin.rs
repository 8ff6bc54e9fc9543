//! How likely the reserve of a scheme that pays each share is spent some day. For people to look at: floating point, and no
//! decision depends on it.
//!
//! Source: M. Rosenfeld, Analysis of Bitcoin Pooled Mining Reward Systems, 2011, arXiv:1112.4980, section 2.3, which has
//! the diffusion's R = B ln(1/δ) / (2f). Where shares are small, what the reserve holds is a walk that goes down steadily and
//! up by a block at a time, and the probability is exact: e^(-ρR/B) with 1 - e^(-ρ) = (1 - f)ρ.

/// Halvings of the interval: more than a double has digits.
const STEPS: u32 = 200;

/// ρ of a fee, which is a part of every credit between 0 and 1; `None` where there is none.
fn exponent(fee: f64) -> Option<f64> {
    if !(fee > 0.0 && fee < 1.0) {
        return None;
    }
    // Above 0 there is one root: left of it 1 - e^-ρ is above the line, right of it below, and 1/(1-f) is right of it.
    let (mut low, mut high) = (0.0_f64, 1.0 / (1.0 - fee));
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if -(-middle).exp_m1() > (1.0 - fee) * middle {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(high)
}

/// The probability that a reserve of so many blocks is spent some day, where `fee` of what blocks bring stays with it.
/// Certain without a fee.
#[must_use]
pub fn ruin(fee: f64, blocks: f64) -> f64 {
    exponent(fee).map_or(1.0, |rho| (-rho * blocks.max(0.0)).exp())
}

/// The reserve, in blocks, that is spent with this probability; `None` where no reserve is enough.
#[must_use]
pub fn reserve_for(fee: f64, ruin: f64) -> Option<f64> {
    let wanted = (ruin > 0.0 && ruin <= 1.0).then_some(ruin)?;
    Some(-wanted.ln() / exponent(fee)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, published: f64, digits: i32) {
        assert!((value - published).abs() < 0.51 * 10_f64.powi(-digits), "{value} for {published}");
    }

    #[test]
    fn the_published_figures_come_out() {
        near(ruin(0.05, 29.957), 0.045_05, 5);
        near(50.0 * reserve_for(0.05, 0.001).unwrap(), 3337.8, 1);
        // The diffusion asks for more.
        near(50.0 * (1000.0_f64).ln() / (2.0 * 0.05), 3453.9, 1);
    }

    #[test]
    fn a_reserve_is_ruined_as_often_as_it_was_asked_for() {
        for fee in [1e-6, 0.001, 0.05, 0.5, 0.99] {
            for part in [1e-9, 0.01, 0.5, 1.0] {
                let blocks = reserve_for(fee, part).unwrap();
                assert!((ruin(fee, blocks) / part - 1.0).abs() < 1e-6, "{fee} {part}: {blocks}");
            }
            assert!(ruin(fee, 2.0) < ruin(fee, 1.0));
        }
    }

    #[test]
    fn without_a_fee_it_is_certain() {
        for fee in [0.0, -0.1, 1.0, f64::NAN] {
            assert_eq!((ruin(fee, 1e9), reserve_for(fee, 0.5)), (1.0, None));
        }
        assert_eq!((ruin(0.01, 0.0), ruin(0.01, -5.0)), (1.0, 1.0));
        assert_eq!((reserve_for(0.01, 0.0), reserve_for(0.01, 1.5)), (None, None));
    }
}
