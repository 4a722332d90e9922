//! CPU time of processes, to the nanosecond.

use std::{collections::HashMap, fs, time::Duration};

/// What each process has used so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cpu(HashMap<u32, Duration>);

impl Cpu {
    /// Reads one process.
    pub(crate) fn of(pid: u32) -> Self {
        Self(HashMap::from([(pid, used(pid))]))
    }

    /// Reads a process and its children, as those of Postgres are.
    pub(crate) fn of_family(pid: u32) -> Self {
        let family = children(pid).into_iter().chain([pid]);
        Self(family.map(|pid| (pid, used(pid))).collect())
    }

    /// Returns what was used since; a process that has ended since does not count.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let spent = self.0.iter().map(|(pid, now)| {
            let then = before.0.get(pid).copied().unwrap_or_default();
            now.saturating_sub(then)
        });
        spent.sum()
    }
}

/// Sums up all threads.
fn used(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
            Some(Duration::from_nanos(nanoseconds))
        })
        .sum()
}

fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_is_noticed() {
        let this = std::process::id();
        let before = Cpu::of(this);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        assert!(Cpu::of(this).since(&before) >= Duration::from_millis(20));
    }

    #[test]
    fn children_belong_to_the_family() {
        let mut child = std::process::Command::new("sleep")
            .arg("20")
            .spawn()
            .unwrap();
        let family = Cpu::of_family(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.0.contains_key(&child.id()));
    }
}
