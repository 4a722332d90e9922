//! Folders that hold all that a server writes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

use crate::shell;

/// Makes a folder that the server's user owns and can reach.
pub(crate) fn fresh(name: &str, parent: &Path, user: Option<&str>) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = parent.join(format!("{name}-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let Some(user) = user else {
        return Ok(folder);
    };
    shell::give(&folder, user)?;
    let reachable = shell::run(shell::command(Some(user), "test").arg("-w").arg(&folder)).is_ok();
    let fallback = std::env::temp_dir();
    if reachable || parent == fallback {
        return Ok(folder);
    }
    // A parent folder is closed to the server's user, as /root is.
    fs::remove_dir(&folder)?;
    fresh(name, &fallback, Some(user))
}

/// Returns the last lines of a log.
pub(crate) fn end_of(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = log.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
