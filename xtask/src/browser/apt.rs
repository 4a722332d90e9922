//! Installing packages of the system, where that is allowed.

use std::{env, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    bounded::run_quietly,
    step::{output, step},
};

/// How long the lists of packages may take.
const UPDATE: Duration = Duration::from_secs(120);

/// How long a package may take, with what it needs.
const INSTALL: Duration = Duration::from_secs(400);

/// Installs a package if this is root and there is apt.
pub(super) fn install(package: &str, temporary: &Path) -> Result<()> {
    if !is_on_path("apt-get") {
        bail!("there is no apt-get");
    }
    if !output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0") {
        bail!("apt-get needs root");
    }
    let log = temporary.join("apt.log");
    step(&format!("install {package}"), || {
        let mut update = Command::new("apt-get");
        // The lists of packages may be too old; what is in them may also do.
        let _ = run_quietly(UPDATE, &log, update.args(["update", "-q"]));
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "-q", "--no-install-recommends"]);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        run_quietly(INSTALL, &log, install.arg(package)).context("apt-get install")
    })
}

pub(super) fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
