//! Finding Chromium, or installing it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use super::apt;
use crate::bounded::run_quietly;

/// What Chromium is called where it is installed.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// How long it may take to say its version.
const VERSION: Duration = Duration::from_secs(60);

/// Takes the one that `CHROMIUM` names; one that does not run is a mistake.
pub(super) fn named(temporary: &Path) -> Result<Option<PathBuf>> {
    let named = env::var_os("CHROMIUM").map(PathBuf::from);
    let named = named.map(|chromium| runs(chromium, temporary));
    named
        .transpose()
        .context("CHROMIUM names what does not run")
}

/// Takes one on the path, or installs the system's package.
pub(super) fn provide(temporary: &Path) -> Result<PathBuf> {
    if let Some(found) = find(temporary) {
        return Ok(found);
    }
    let installed = apt::install("chromium", temporary);
    installed.context("there is no Chromium: install it, or name it in CHROMIUM")?;
    find(temporary).context("apt-get installed a Chromium that does not run")
}

fn find(temporary: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let places = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let mut there = places.into_iter().filter(|place| place.is_file());
    there.find_map(|place| runs(place, temporary).ok())
}

/// Some systems have a program of that name that only says where to get it.
fn runs(chromium: PathBuf, temporary: &Path) -> Result<PathBuf> {
    let log = temporary.join("chromium.log");
    run_quietly(
        VERSION,
        &log,
        Command::new(&chromium).args(["--no-sandbox", "--version"]),
    )?;
    Ok(chromium)
}
