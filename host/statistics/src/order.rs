//! Quantiles of samples.

/// The q-th quantile of samples, as the sample of rank ⌈q n⌉: the smallest of which a part of at least q is not above. The samples are
/// put in another order. `None` where there are none or `q` is not from 0 to 1.
pub fn order_statistic<T: Ord + Copy>(samples: &mut [T], q: f64) -> Option<T> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = (q * samples.len() as f64).ceil() as usize;
    let at = rank.clamp(1, samples.len().max(1)).saturating_sub(1);
    (at < samples.len()).then(|| *samples.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quantile_is_the_sample_of_its_rank(mut samples in proptest::collection::vec(any::<u16>(), 1..80), q in 0.0..=1.0) {
            let found = order_statistic(&mut samples, q).unwrap();
            let n = samples.len() as f64;
            let not_above = samples.iter().filter(|x| **x <= found).count() as f64;
            let below = samples.iter().filter(|x| **x < found).count() as f64;
            prop_assert!(not_above >= q * n);
            prop_assert!(below < q * n || below == 0.0);
        }
    }

    #[test]
    fn ends_are_kept() {
        assert_eq!(order_statistic(&mut [3, 1, 2], 0.0), Some(1));
        assert_eq!(order_statistic(&mut [3, 1, 2], 0.5), Some(2));
        assert_eq!(order_statistic(&mut [3, 1, 2], 1.0), Some(3));
        assert_eq!(order_statistic::<u8>(&mut [], 0.5), None);
        assert_eq!(order_statistic(&mut [1], 1.5), None);
        assert_eq!(order_statistic(&mut [1], f64::NAN), None);
    }
}
