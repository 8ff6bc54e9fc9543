//! A histogram of durations in buckets that grow with them: about 3 % wide from a nanosecond to an hour, of a fixed size,
//! so that recording costs a few instructions and two of them are added by adding.

use serde::Serialize;
use std::time::Duration;

/// Buckets within each power of two, as a power of two itself.
const FINE_BITS: u32 = 5;
const FINE: usize = 1 << FINE_BITS;
const BUCKETS: usize = (64 - FINE_BITS as usize) * FINE + FINE;

/// Durations, counted.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, sum: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum += u128::from(nanos);
        self.max = self.max.max(nanos);
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What this part of all durations did not exceed (0.5 is the median), up to the width of a bucket.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = ((self.count as f64 * part).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(top_of(bucket).min(self.max));
            }
        }
        Duration::from_nanos(self.max)
    }

    /// The figures that are printed, in milliseconds. `None` when nothing was counted.
    #[must_use]
    pub fn summary(&self) -> Option<Latency> {
        if self.count == 0 {
            return None;
        }
        let at = |part| self.quantile(part).as_secs_f64() * 1e3;
        Some(Latency {
            count: self.count,
            mean: self.sum as f64 / self.count as f64 / 1e6,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.max as f64 / 1e6,
            histogram: self.coarse(),
        })
    }

    /// Upper edge in milliseconds and count of each power of two that has any.
    fn coarse(&self) -> Vec<(f64, u64)> {
        let mut coarse: Vec<(f64, u64)> = Vec::new();
        for (buckets, fine) in self.buckets.chunks(FINE).enumerate() {
            let count: u64 = fine.iter().sum();
            if count > 0 {
                coarse.push((top_of(buckets * FINE + FINE - 1) as f64 / 1e6, count));
            }
        }
        coarse
    }
}

/// Latencies in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1,000 are below.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// By powers of two: upper edge in milliseconds, count.
    pub histogram: Vec<(f64, u64)>,
}

/// Small values have a bucket each; a larger one is placed by its highest bit and the [`FINE_BITS`] below it.
fn bucket_of(nanos: u64) -> usize {
    let Some(shift) = (63 - nanos.max(1).leading_zeros()).checked_sub(FINE_BITS) else {
        return usize::try_from(nanos).unwrap_or(0);
    };
    let fine = usize::try_from(nanos >> shift).unwrap_or(0) - FINE;
    (shift as usize + 1) * FINE + fine
}

/// The largest value of a bucket.
fn top_of(bucket: usize) -> u64 {
    let Some(shift) = (bucket / FINE).checked_sub(1) else { return bucket as u64 };
    let next = (bucket % FINE + FINE + 1) as u128;
    u64::try_from((next << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_has_a_bucket_that_holds_it_and_is_narrow() {
        let mut nanos = 1_u64;
        while nanos < u64::MAX / 3 {
            for value in [nanos, nanos + 1, nanos * 2 - 1] {
                let bucket = bucket_of(value);
                let top = top_of(bucket);
                assert!(top >= value && top as f64 <= value as f64 * 1.04 + 1.0, "{value} {top}");
                assert!(bucket == 0 || top_of(bucket - 1) < value, "{value}");
            }
            nanos *= 2;
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        assert!(histogram.summary().is_none());
        for micros in 1..=1000_u64 {
            histogram.record(Duration::from_micros(micros));
        }
        let mut twice = histogram.clone();
        twice.add(&histogram);
        let summary = twice.summary().unwrap();
        assert_eq!((summary.count, summary.max), (2000, 1.0));
        for (got, exact) in
            [(summary.p50, 0.5), (summary.p90, 0.9), (summary.p99, 0.99), (summary.mean, 0.5005)]
        {
            assert!((got / exact - 1.0).abs() < 0.04, "{got} {exact}");
        }
        assert_eq!(summary.histogram.iter().map(|(_, count)| count).sum::<u64>(), 2000);
    }
}
