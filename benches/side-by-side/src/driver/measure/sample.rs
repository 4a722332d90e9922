//! What a turn, or several that follow each other, measured.

use std::{ops::AddAssign, time::Duration};

use serde::{Deserialize, Serialize};

use crate::load::Histogram;

/// What was measured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Round {
    pub(crate) requests: u64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Latencies, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// CPU time of the contender for each request, in microseconds.
    pub(crate) server_cpu: f64,
    /// CPU time of all of Postgres for each request, in microseconds.
    pub(crate) postgres_cpu: f64,
    /// Bytes of log for each request.
    pub(crate) wal: f64,
}

/// All that a round is made from. The sum of two is what both would have measured as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) latencies: Histogram,
    pub(crate) time: Duration,
    /// Microseconds of the contender.
    pub(crate) server: Used,
    /// Microseconds of all of Postgres.
    pub(crate) postgres: Used,
    /// Bytes of log.
    pub(crate) log: Used,
}

/// What so many requests took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) requests: u64,
    pub(crate) amount: f64,
}

impl Sample {
    pub(crate) fn round(&self) -> Round {
        let requests = self.latencies.count();
        let quantile = |part| self.latencies.quantile(part).as_secs_f64() * 1e6;
        Round {
            requests,
            rate: requests as f64 / self.time.as_secs_f64(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            server_cpu: self.server.each(),
            postgres_cpu: self.postgres.each(),
            wal: self.log.each(),
        }
    }
}

impl AddAssign<&Self> for Sample {
    fn add_assign(&mut self, other: &Self) {
        self.latencies += &other.latencies;
        self.time += other.time;
        self.server += other.server;
        self.postgres += other.postgres;
        self.log += other.log;
    }
}

impl Used {
    fn each(self) -> f64 {
        self.amount / self.requests.max(1) as f64
    }
}

impl AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.amount += other.amount;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(latencies: std::ops::RangeInclusive<u64>, log: f64) -> Sample {
        let mut sample = Sample {
            time: Duration::from_secs(1),
            ..Sample::default()
        };
        for milliseconds in latencies {
            sample.latencies.record(Duration::from_millis(milliseconds));
            sample.log.requests += 1;
        }
        sample.log.amount = log;
        sample
    }

    #[test]
    fn a_sum_has_the_quantiles_of_all_requests() {
        let mut all = sample(1..=300, 300.0);
        all += &sample(901..=1000, 900.0);
        let round = all.round();
        assert_eq!(round.requests, 400);
        assert!((round.rate - 200.0).abs() < 1e-9);
        assert!((round.p50 / 200_000.0 - 1.0).abs() < 0.02, "{}", round.p50);
        assert!((round.p99 / 996_000.0 - 1.0).abs() < 0.02, "{}", round.p99);
        assert!((round.wal - 3.0).abs() < 1e-9);
    }
}
