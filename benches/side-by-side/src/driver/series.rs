//! The results.

use serde::{Deserialize, Serialize};

use crate::growth::Point;
use crate::measure::{Machine, Medium, Round, Workload};

/// All rounds of one contender at one number of connections.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Series {
    pub(crate) suite: String,
    pub(crate) medium: Medium,
    pub(crate) workload: Workload,
    pub(crate) body_bytes: usize,
    pub(crate) connections: usize,
    pub(crate) contender: String,
    /// The size of the pool that was best, for those who have one.
    pub(crate) pool: Option<u32>,
    /// How long it took to flush 8 KiB just before, in microseconds.
    pub(crate) fdatasync: f64,
    pub(crate) rounds: Vec<Round>,
    /// Why there is no result.
    pub(crate) error: Option<String>,
}

impl Series {
    /// Returns the median of a value over the rounds.
    pub(crate) fn median(&self, value: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }
}

/// Returns the middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

/// All that a run has measured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) command: String,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) series: Vec<Series>,
    pub(crate) growth: Vec<Point>,
}

impl Results {
    /// Takes over what another run has measured.
    pub(crate) fn merge(&mut self, other: Self) {
        let same = |a: &Series, b: &Series| {
            (&a.suite, a.connections, &a.contender) == (&b.suite, b.connections, &b.contender)
        };
        self.series
            .retain(|old| !other.series.iter().any(|new| same(old, new)));
        self.series.extend(other.series);
        let same = |a: &Point, b: &Point| (a.millions - b.millions).abs() < 0.001;
        self.growth
            .retain(|old| !other.growth.iter().any(|new| same(old, new)));
        self.growth.extend(other.growth);
        self.growth
            .sort_by(|a, b| a.millions.total_cmp(&b.millions));
        if !self.command.is_empty() {
            self.command.push_str("`, `cargo xtask bench ");
        }
        self.command.push_str(&other.command);
        self.machine = other.machine;
        self.settings = other.settings;
    }

    /// Returns the series of a contender, if it has a result.
    pub(crate) fn find(&self, suite: &str, contender: &str, connections: usize) -> Option<&Series> {
        self.series.iter().find(|series| {
            series.suite == suite
                && series.contender == contender
                && series.connections == connections
                && series.error.is_none()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(vec![]).is_nan());
    }
}
