//! Running commands, as another user where that is needed.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// Prepares a command that runs as `user`, or as the present one.
pub(crate) fn command(user: Option<&str>, program: impl AsRef<OsStr>) -> Command {
    match user {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user, "--"]).arg(program);
            command
        }
    }
}

/// Runs a command to its end; its output is part of the error.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown} failed ({}): {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    Ok(output)
}

/// Tells whether this process is root.
pub(crate) fn is_root() -> bool {
    run(Command::new("id").arg("-u")).is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// The user who runs the server: another one if this process is root.
pub(crate) fn server_user() -> Option<&'static str> {
    if !is_root() {
        return None;
    }
    let exists = run(Command::new("id").args(["-u", "postgres"])).is_ok();
    Some(if exists { "postgres" } else { "nobody" })
}

/// Gives `path` to `user`.
pub(crate) fn give(path: &Path, user: &str) -> Result<()> {
    run(Command::new("chown").arg("-R").arg(user).arg(path)).map(drop)
}

/// Tells whether `program` is on the path.
pub(crate) fn has(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}
