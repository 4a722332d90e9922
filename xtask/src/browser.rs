//! `cargo xtask browser`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    dependencies::metadata,
    step::{cargo, output, root, run, step},
};

/// The oldest Node that the tests' tools run on.
const OLDEST_NODE: u32 = 20;

/// What Chromium is called where it is installed.
const CHROMIUMS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Tests the browser client, and in Chromium that client and the page of quickstart.
///
/// What it needs and cannot find is no failure, but it says so; a test that fails is one.
pub(crate) fn check() -> Result<()> {
    if let Err(missing) = node() {
        skip("all tests of the browser client", &format!("{missing:#}"));
        return Ok(());
    }
    if let Err(error) = step("install what the browser client is tested with", install) {
        if in_ci() {
            return Err(error);
        }
        let advice = "let npm reach its registry once: `npm ci` in clients/browser";
        skip("all tests of the browser client", advice);
        return Ok(());
    }
    step("types of the browser client", || npm_run("check"))?;
    step("tests of the browser client", || npm_run("test"))?;
    step("build of the browser client", || npm_run("build"))?;
    let Some(chromium) = chromium() else {
        let advice = "install it (`apt-get install chromium`), or name it in CHROMIUM";
        skip("the tests in Chromium", &format!("there is none: {advice}"));
        return Ok(());
    };
    let quickstart = step("build quickstart", quickstart)?;
    step("tests in Chromium", || {
        let mut tests = npm(&["run", "--silent", "e2e"]);
        tests.env("CHROMIUM", &chromium);
        run(tests.env("QUICKSTART", &quickstart))
    })
}

/// Says loudly what was not tested, and what to do about it.
fn skip(what: &str, why: &str) {
    println!("SKIPPED: {what}: {why}");
}

fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Checks that there are a Node that is new enough, and an npm.
fn node() -> Result<()> {
    let version = output(Command::new("node").arg("--version"))
        .with_context(|| format!("install Node {OLDEST_NODE} or newer, and npm"))?;
    let major = version.trim().trim_start_matches('v').split('.').next();
    let major: u32 = major.unwrap_or_default().parse().unwrap_or_default();
    if major < OLDEST_NODE {
        bail!("install Node {OLDEST_NODE} or newer; this is {version}");
    }
    output(Command::new("npm").arg("--version")).context("install npm")?;
    Ok(())
}

fn npm(arguments: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(arguments)
        .current_dir(root().join("clients").join("browser"));
    npm
}

fn npm_run(script: &str) -> Result<()> {
    run(&mut npm(&["run", "--silent", script]))
}

/// Installs exactly what the lock file names, and lets none of it run a script.
fn install() -> Result<()> {
    run(&mut npm(&[
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]))
}

/// Finds Chromium, or installs it where that is what the machine is for.
fn chromium() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    if let Some(found) = find_chromium() {
        return Some(found);
    }
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0");
    if in_ci() && is_root {
        // Whether it worked shows in whether there is one.
        let _ = step("install Chromium", install_chromium);
    }
    find_chromium()
}

fn install_chromium() -> Result<()> {
    let mut apt = Command::new("apt-get");
    // The lists of packages may be too old; what is in them may also do.
    let _ = run(apt.arg("update"));
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "--no-install-recommends", "chromium"]);
    run(apt.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn find_chromium() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let places = CHROMIUMS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

/// Builds quickstart, and returns the path of the program.
fn quickstart() -> Result<PathBuf> {
    run(cargo().args(["build", "--quiet", "--locked", "-p", "quickstart"]))?;
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str();
    let target = Path::new(target.context("target_directory")?);
    Ok(target.join("debug").join("quickstart"))
}
