//! Latencies, to within 1.6 %.

use std::{ops::AddAssign, time::Duration};

/// Each power of two is split into so many buckets.
const STEPS: u64 = 128;

/// Counts of nanoseconds in buckets that grow with the value.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX) + 1],
            total: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
    }

    pub(crate) const fn count(&self) -> u64 {
        self.total
    }

    /// Returns the latency that this part of all do not exceed.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.total as f64 * part).ceil().max(1.0);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen as f64 >= wanted {
                return Duration::from_nanos(top(index));
            }
        }
        Duration::ZERO
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }
}

fn bucket(value: u64) -> usize {
    let shift = u64::from((value / STEPS).checked_ilog2().map_or(0, |log| log + 1));
    (shift * STEPS + (value >> shift)) as usize
}

/// Returns the greatest value of a bucket.
const fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let (shift, step) = (bucket / STEPS, bucket % STEPS);
    // Written so that the last one does not overflow.
    (step << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (part, micros) in [
            (0.001, 10.0),
            (0.5, 5_000.0),
            (0.99, 9_900.0),
            (1.0, 10_000.0),
        ] {
            let found = histogram.quantile(part).as_secs_f64() * 1e6;
            assert!((found / micros - 1.0).abs() < 0.02, "{part}: {found}");
        }
        assert_eq!(histogram.count(), 10_000);
    }

    #[test]
    fn every_value_is_in_the_bucket_whose_top_is_next_above() {
        for value in (0..100_000).chain([u64::MAX / 2, u64::from(u32::MAX)]) {
            let bucket = bucket(value);
            assert!(top(bucket) >= value, "{value}");
            assert!(bucket == 0 || top(bucket - 1) < value, "{value}");
        }
    }
}
