//! How improbable a miner's number of blocks is for his work.
//!
//! Finding blocks is a Poisson process: with expected number `m`, P(at most k) = sum over i <= k of e^-m m^i / i!.
//! A miner who withholds blocks shows as a P(at most k) that is too small to be bad luck.

/// P(at most `found` blocks) for an expectation, and P(at least `found`).
///
/// Sums in logarithms, so that expectations of any size neither overflow nor vanish.
#[must_use]
pub fn tails(found: u64, expected: f64) -> (f64, f64) {
    if !expected.is_finite() || expected <= 0.0 {
        return (1.0, if found == 0 { 1.0 } else { 0.0 });
    }
    let at_most = cumulative(found, expected);
    let below = if found == 0 { 0.0 } else { cumulative(found - 1, expected) };
    (at_most, (1.0 - below).clamp(0.0, 1.0))
}

fn cumulative(k: u64, m: f64) -> f64 {
    // Only terms near the larger of k and m matter; far below, each is smaller by more than a factor e^-40 in all.
    let reach = 12.0 * m.sqrt() + 60.0;
    let low = (m - reach).max(0.0).floor();
    if (k as f64) < low {
        return 0.0;
    }
    if k as f64 > m + reach {
        return 1.0;
    }
    let mut sum = 0.0;
    let mut i = low;
    let mut log_term = i * m.ln() - m - log_factorial(i);
    while i <= k as f64 {
        sum += log_term.exp();
        i += 1.0;
        log_term += m.ln() - i.ln();
    }
    sum.clamp(0.0, 1.0)
}

/// ln(n!) by Stirling's series above 20, exact below.
fn log_factorial(n: f64) -> f64 {
    if n < 20.0 {
        let mut product: f64 = 1.0;
        let mut i = 2.0;
        while i <= n {
            product *= i;
            i += 1.0;
        }
        return product.ln();
    }
    n * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI * n).ln() + 1.0 / (12.0 * n)
        - 1.0 / (360.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the table of payout figures, row 20: P(no block in five times the expected work) is 0.674 %; and row
    /// 18: P(at least one) at 0.125 827 expected (1 GH/s against difficulty 1,690,906 for a day's part) is 1 - e^-m.
    #[test]
    fn the_published_figures_come_out() {
        assert!((tails(0, 5.0).0 - 0.006_737_947).abs() < 1e-9);
        let (_, at_least_one) = tails(1, 0.011_897);
        assert!((at_least_one - 0.011_826_5).abs() < 1e-6, "{at_least_one}");
    }

    #[test]
    fn the_two_tails_meet_at_the_number_found() {
        for (found, expected) in [(0, 0.1), (3, 3.0), (40, 50.0), (1_000, 1_000.0), (100_000, 99_000.0)] {
            let (at_most, at_least) = tails(found, expected);
            let (below, _) = if found == 0 { (0.0, 1.0) } else { tails(found - 1, expected) };
            assert!((below + at_least - 1.0).abs() < 1e-9, "{found} of {expected}: {at_most} {at_least}");
        }
        assert!((tails(1_000_000, 1_000_000.0).0 - 0.5).abs() < 0.001);
    }

    #[test]
    fn strange_expectations_give_no_nonsense() {
        assert_eq!(tails(0, 0.0), (1.0, 1.0));
        assert_eq!(tails(1, f64::NAN), (1.0, 0.0));
        assert_eq!(tails(0, 1e9).0, 0.0);
        assert_eq!(tails(2_000_000_000, 1e9).0, 1.0);
    }
}
