//! Processes that are not children of this one.

use std::{
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::shell;

/// The bound of every wait for a process.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// Waits until none of these processes is left.
pub(crate) fn wait_for_end(processes: &[String]) -> Result<()> {
    let end = Instant::now() + BOUND;
    while processes.iter().any(|pid| is_alive(pid)) {
        if Instant::now() > end {
            bail!("the processes {processes:?} do not end");
        }
        sleep(POLL);
    }
    Ok(())
}

/// Sends a signal. A process that ends by itself meanwhile does not matter.
pub(crate) fn signal(name: &str, processes: &[String]) -> Result<()> {
    let mut kill = Command::new("kill");
    let sent = shell::run(kill.arg(format!("-{name}")).args(processes));
    let Err(error) = sent else {
        return Ok(());
    };
    let alive = processes.iter().filter(|pid| is_alive(pid));
    let left: Vec<_> = alive.cloned().collect();
    if left.is_empty() {
        return Ok(());
    }
    if left.len() == processes.len() {
        return Err(error);
    }
    signal(name, &left)
}

/// Lists the children of a process.
///
/// Looks into `/proc`, since not every machine has `ps`.
pub(crate) fn children_of(parent: &str) -> Vec<String> {
    let is_child = |pid: &String| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mut lines = status.lines();
        lines.any(|line| {
            line.strip_prefix("PPid:")
                .is_some_and(|pid| pid.trim() == parent)
        })
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let processes = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    processes.filter(is_child).collect()
}

pub(crate) fn is_alive(pid: &str) -> bool {
    // A process that nobody has waited for yet is dead all the same.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}
