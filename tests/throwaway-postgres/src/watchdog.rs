//! A process that removes a server when its owner is gone.

use std::{
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Waits for the end of its standard input, stops the server hard, and removes its folder.
///
/// Takes the folder, the file in it that begins with the process id, and the signal to stop with.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
pid=$(head -n 1 "$1/$2" 2>/dev/null)
children=""
if [ -n "$pid" ]; then
    for each in /proc/[0-9]*; do
        parent=$(sed -n 's/^PPid:[[:space:]]*//p' "$each/status" 2>/dev/null)
        [ "$parent" = "$pid" ] && children="$children ${each#/proc/}"
    done
    kill -CONT $pid $children 2>/dev/null
    kill "-$3" "$pid" 2>/dev/null
fi
for _ in $(seq 100); do
    alive=""
    for each in $pid $children; do
        # A dead process that nobody has waited for yet (Z) is dead.
        grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$each/status" 2>/dev/null && alive=yes
    done
    [ -z "$alive" ] && break
    sleep 0.05
done
[ -n "$pid" ] && kill -9 $pid $children 2>/dev/null
rm -rf "$1"
"#;

/// Ends the server when it is dropped, and when this process ends in any way.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
    /// The process ends when this is closed; the system closes it with this process.
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    pub(crate) fn watch(folder: &Path, pid_file: &str, signal: &str) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "throwaway-postgres-watchdog"])
            .arg(folder)
            .args([pid_file, signal])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the watchdog")?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let end = Instant::now() + Duration::from_secs(15);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
