//! What is being done, and how long it will still take.

use std::time::{Duration, Instant};

/// Counts turns, and says after each what it brought.
pub(crate) struct Progress {
    begun: Instant,
    done: usize,
    total: usize,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        Self {
            begun: Instant::now(),
            done: 0,
            total,
        }
    }

    /// Says that one more turn is over.
    pub(crate) fn turn(&mut self, what: &str) {
        self.done += 1;
        let left = self.total.saturating_sub(self.done);
        let each = self.begun.elapsed() / u32::try_from(self.done).unwrap_or(u32::MAX);
        let left = each * u32::try_from(left).unwrap_or(u32::MAX);
        eprintln!(
            "[{:>4} of {}, {} left] {what}",
            self.done,
            self.total,
            shown(left)
        );
    }
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 120 {
        format!("{seconds:>3} s")
    } else {
        format!("{:>3} min", seconds.div_ceil(60))
    }
}
