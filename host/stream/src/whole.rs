//! What is drawn in integers alone: a number below another, a hit, an order.

use crate::Stream;

impl Stream {
    /// A number below `n`, all alike: D. Lemire, "Fast random integer generation in an interval" (2019), which draws again where the
    /// remainder would favour some. 0 where `n` is 0.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        let mut wide = self.times(n);
        if (wide as u64) < n {
            let unfair = n.wrapping_neg().checked_rem(n).unwrap_or(0);
            while (wide as u64) < unfair {
                wide = self.times(n);
            }
        }
        (wide >> 64) as u64
    }

    /// The next number times `n`.
    #[inline]
    pub(crate) fn times(&mut self, n: u64) -> u128 {
        u128::from(self.bits()).wrapping_mul(u128::from(n))
    }

    /// Whether something happens whose probability is so many units of 2^-64. Exactly so; from 2^64 on it always does.
    #[inline]
    pub fn hit(&mut self, units: u128) -> bool {
        u128::from(self.bits()) < units
    }

    /// Puts items in an order, all orders alike.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Key, Purpose, Stream};

    fn stream() -> Stream {
        Key { seed: 5, replication: 0 }.stream(Purpose::Test, 0)
    }

    #[test]
    fn ends_are_kept() {
        let mut stream = stream();
        for _ in 0..100 {
            assert_eq!(stream.below(0), 0);
            assert_eq!(stream.below(1), 0);
            assert!(stream.below(3) < 3);
            assert!(stream.below(u64::MAX) < u64::MAX);
            assert!(!stream.hit(0));
            assert!(stream.hit(1 << 64));
            assert!(stream.hit(u128::MAX));
        }
    }

    /// Of 2^64 numbers a remainder by 3·2^62 would give the first third twice as often. Drawn 10,000 times that would be 5,000 of
    /// them; it is a third within 4 σ = 189.
    #[test]
    fn no_number_is_favoured_by_the_remainder() {
        let n = 3_u64 << 62;
        let mut drawn = stream();
        let first = (0..10_000).filter(|_| drawn.below(n) < 1 << 62).count();
        assert!(first.abs_diff(3_333) < 189, "{first}");
        let mut naive = stream();
        let first = (0..10_000).filter(|_| naive.bits() % n < 1 << 62).count();
        assert!(first.abs_diff(3_333) > 189, "the twin: {first}");
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut items: Vec<u32> = (0..50).collect();
        stream().shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
        stream().shuffle::<u32>(&mut []);
    }
}
