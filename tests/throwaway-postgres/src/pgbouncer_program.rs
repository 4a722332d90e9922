use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};

use crate::shell;

/// A `pgbouncer` that runs here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PgBouncerProgram {
    path: PathBuf,
    /// Where its libraries are, if they are not the system's.
    libraries: Vec<PathBuf>,
    version: (u32, u32),
}

/// Where Debian puts it, which is not on everybody's path.
const SYSTEM: &str = "/usr/sbin/pgbouncer";

impl PgBouncerProgram {
    /// Finds a program that is installed, or was fetched into `cache` before.
    ///
    /// In this order: the file in `PGBOUNCER`, one on `PATH`, Debian's, the one in `cache`.
    #[must_use]
    pub fn find(cache: &Path) -> Option<Self> {
        let chosen = std::env::var_os("PGBOUNCER").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|folder| folder.join("pgbouncer"));
        let mut installed = chosen
            .into_iter()
            .chain(on_path)
            .chain([PathBuf::from(SYSTEM)])
            .filter_map(|path| Self::at(path, Vec::new()));
        installed.next().or_else(|| Self::fetched(cache))
    }

    /// Finds a program, or fetches Debian's package into `cache`.
    ///
    /// The package is unpacked there, and not installed: it would start a service.
    ///
    /// # Errors
    ///
    /// With what was tried and what to do, if none can be had.
    pub fn provide(cache: &Path) -> Result<Self> {
        // Tests of one process ask at the same time, and one of them shall fetch.
        static FETCHING: Mutex<()> = Mutex::new(());
        let _one = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = Self::find(cache) {
            return Ok(found);
        }
        let fetched = fetch(cache).and_then(|()| {
            Self::fetched(cache).context("the program that was fetched does not run")
        });
        fetched.context("no PgBouncer can be had: install one, or set PGBOUNCER to its program")
    }

    /// Finds or fetches a program; without one, says loudly what is left out.
    ///
    /// # Panics
    ///
    /// If there is none and the environment has `CI=true`: CI may leave nothing out.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests has to know")]
    #[must_use]
    pub fn provide_or_leave_out(cache: &Path) -> Option<Self> {
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        match Self::provide(cache) {
            Ok(program) => Some(program),
            Err(error) if in_ci => panic!("{error:#}"),
            Err(error) => {
                eprintln!("NOT TESTED: anything behind PgBouncer; {error:#}");
                None
            }
        }
    }

    /// Returns the version: since 1.21, a pooler can know about prepared statements.
    #[must_use]
    pub const fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Copies the program and its own libraries into a folder; the build's may be closed to the
    /// user who runs it.
    pub(crate) fn copied_into(&self, folder: &Path) -> Result<Self> {
        let mut copy = Command::new("cp");
        copy.args(["-rL", "--"]).arg(&self.path);
        shell::run(copy.args(&self.libraries).arg(folder))?;
        let within = |path: &PathBuf| path.file_name().map(|name| folder.join(name));
        Ok(Self {
            path: within(&self.path).context("a program has a name")?,
            libraries: self.libraries.iter().filter_map(within).collect(),
            version: self.version,
        })
    }

    pub(crate) fn command(&self, user: Option<&str>) -> Result<Command> {
        let mut command = shell::command(user, "env");
        if !self.libraries.is_empty() {
            let mut setting = OsString::from("LD_LIBRARY_PATH=");
            setting.push(std::env::join_paths(&self.libraries)?);
            command.arg(setting);
        }
        command.arg(&self.path);
        Ok(command)
    }

    fn fetched(cache: &Path) -> Option<Self> {
        Self::at(cache.join("usr/sbin/pgbouncer"), library_folders(cache))
    }

    fn at(path: PathBuf, libraries: Vec<PathBuf>) -> Option<Self> {
        let mut program = Self {
            path,
            libraries,
            version: (0, 0),
        };
        if !program.path.is_file() {
            return None;
        }
        let output = shell::run(program.command(None).ok()?.arg("--version")).ok()?;
        program.version = parse_version(&String::from_utf8(output.stdout).ok()?)?;
        Some(program)
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let version = text.lines().next()?.strip_prefix("PgBouncer ")?;
    let mut numbers = version.split('.').map(|number| number.trim().parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Fetches Debian's package, and those of its libraries, since some may be missing here.
fn fetch(cache: &Path) -> Result<()> {
    if !shell::has("apt-get") || !shell::has("dpkg-deb") {
        bail!("apt-get: not here");
    }
    let folder = cache.with_extension(std::process::id().to_string());
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let done = download(&folder).and_then(|()| unpack(&folder));
    // Another process may have been faster, and its files are as good.
    if done.is_ok() && !cache.exists() {
        let _ = fs::rename(&folder, cache);
    }
    let _ = fs::remove_dir_all(&folder);
    done
}

fn download(folder: &Path) -> Result<()> {
    let attempt = || {
        let depends = shell::run(Command::new("apt-cache").args(["depends", "pgbouncer"]))?;
        let depends = String::from_utf8(depends.stdout)?;
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder)
            .args(["--quiet", "download", "pgbouncer"]);
        shell::run(apt.args(libraries(&depends)))
    };
    if attempt().is_err() {
        // Images come without the lists of packages.
        shell::run(Command::new("apt-get").arg("update")).context("apt-get update")?;
        attempt().context("apt-get download")?;
    }
    Ok(())
}

/// Picks the libraries that a package needs; the C library must stay the system's.
fn libraries(depends: &str) -> Vec<&str> {
    let needed = depends.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("Depends: ")?;
        (name.starts_with("lib") && !name.starts_with("libc6")).then_some(name)
    });
    needed.collect()
}

fn unpack(folder: &Path) -> Result<()> {
    for package in fs::read_dir(folder)?.flatten().map(|entry| entry.path()) {
        if package.extension().is_some_and(|end| end == "deb") {
            shell::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder))?;
            fs::remove_file(&package)?;
        }
    }
    Ok(())
}

/// Lists the folders that hold the libraries of unpacked packages.
fn library_folders(unpacked: &Path) -> Vec<PathBuf> {
    let parents = ["lib", "usr/lib"].map(|name| unpacked.join(name));
    let entries = parents
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok());
    let folders = entries.flatten().flatten().map(|entry| entry.path());
    let has_libraries = |folder: &PathBuf| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        files
            .map(|file| file.file_name())
            .any(|name| name.to_string_lossy().contains(".so."))
    };
    folders.filter(has_libraries).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_on_the_first_line() {
        let text = "PgBouncer 1.18.0\nlibevent 2.1.12-stable\n";
        assert_eq!(parse_version(text), Some((1, 18)));
        assert_eq!(parse_version("pgbouncer: command not found"), None);
    }

    #[test]
    fn only_libraries_are_fetched_and_not_the_c_library() {
        let depends = "pgbouncer\n  Depends: lsb-base\n  Depends: libc6\n  Depends: libc-ares2\n \
                       |Depends: libevent-2.1-7\n  Recommends: libthing\n";
        assert_eq!(libraries(depends), ["libc-ares2"]);
    }
}
