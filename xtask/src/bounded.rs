//! Running commands that may hang.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long a command that is asked to end may take for that.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a command whose output goes where this program's goes; ends it after `limit`.
pub(crate) fn run_within(limit: Duration, command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = status_within(limit, command)?;
    if !status.success() {
        bail!("{shown} failed: {status}");
    }
    Ok(())
}

/// Runs a command whose output goes to a file, and into the error; ends it after `limit`.
pub(crate) fn run_quietly(limit: Duration, log: &Path, command: &mut Command) -> Result<()> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file);
    let Err(error) = run_within(limit, command) else {
        return Ok(());
    };
    let said = fs::read(log).unwrap_or_default();
    bail!("{error:#}\n{}", String::from_utf8_lossy(&said).trim_end())
}

fn status_within(limit: Duration, command: &mut Command) -> Result<ExitStatus> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    if let Some(status) = wait(&mut child, limit)? {
        return Ok(status);
    }
    end(&mut child)?;
    bail!("{shown} was ended: it took longer than {limit:?}");
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= limit {
            return Ok(None);
        }
        sleep(Duration::from_millis(50));
    }
}

/// Ends a process and all that it has started.
///
/// A process group would not do: a browser makes one of its own.
fn end(child: &mut Child) -> Result<()> {
    let family = with_descendants(child.id());
    signal("-TERM", &family);
    let _ = wait(child, GRACE)?;
    signal("-KILL", &family);
    child.wait()?;
    Ok(())
}

fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(u32::to_string);
    // What has ended by itself is no failure.
    let mut kill = Command::new("kill");
    let _ = kill
        .arg(name)
        .args(processes)
        .stderr(Stdio::null())
        .status();
}

/// Returns a process, its children, theirs, and so on.
fn with_descendants(process: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((id, parent_in(&stat)?))
        })
        .collect();
    let mut family = vec![process];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| id));
        at += 1;
    }
    family
}

/// Reads the parent from `/proc/<id>/stat`. The name before it may have any characters.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = std::env::temp_dir().join(format!("bounded-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let script = format!("sleep 600 & echo $! > {}/id; wait", folder.display());
        let error = run_within(Duration::from_millis(500), &mut shell(&script)).unwrap_err();
        assert!(error.to_string().contains("took longer"), "{error}");
        let id = fs::read_to_string(folder.join("id")).expect("it was started");
        // One that nobody has waited for yet is a zombie: it has no command line.
        let place = format!("/proc/{}/cmdline", id.trim());
        let runs = || fs::read(&place).is_ok_and(|line| line.starts_with(b"sleep"));
        let begun = Instant::now();
        while runs() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it still runs");
            sleep(Duration::from_millis(10));
        }
        fs::remove_dir_all(&folder).expect("the folder is there");
    }

    #[test]
    fn what_a_failed_command_said_is_in_the_error() {
        let log = std::env::temp_dir().join(format!("bounded-{}.log", std::process::id()));
        let mut command = shell("echo why; exit 3");
        let error = run_quietly(Duration::from_secs(60), &log, &mut command).unwrap_err();
        assert!(error.to_string().ends_with("\nwhy"), "{error}");
        fs::remove_file(&log).expect("the file is there");
    }

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("12 (a) b (c)) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in(""), None);
    }
}
