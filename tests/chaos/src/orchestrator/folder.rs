//! The folder of a run, which is gone with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result};

/// Waits for the end of its standard input, then removes what a killed owner has left:
/// servers (a stopped one cannot end by itself), their traces, and the folder.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for file in "$1"/pids/*; do
    pid=${file##*/}
    case "$(readlink "/proc/$pid/exe" 2>/dev/null)" in
        */chaos-server*) kill -9 "$pid" 2>/dev/null ;;
    esac
    rm -f "/dev/shm/faketime_shm_$pid" "/dev/shm/sem.faketime_sem_$pid"
done
[ -e "$1/keep" ] || rm -rf "$1"
"#;

/// Journals, logs, and the database file.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    watchdog: Child,
    /// The watchdog acts when this is closed; the system closes it with this process.
    pipe: Option<ChildStdin>,
}

impl Folder {
    pub(crate) fn make() -> Result<Self> {
        let path = target()?
            .join("tmp")
            .join(format!("chaos-{}", std::process::id()));
        fs::create_dir_all(path.join("pids"))
            .with_context(|| format!("cannot make {}", path.display()))?;
        let mut watchdog = Command::new("sh")
            .args(["-c", SCRIPT, "chaos-watchdog"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the watchdog")?;
        let pipe = watchdog.stdin.take();
        Ok(Self {
            path,
            watchdog,
            pipe,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the folder stay behind for a person to look at.
    pub(crate) fn keep(&self) -> Result<&Path> {
        fs::write(self.path.join("keep"), "")?;
        Ok(&self.path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.watchdog.wait();
    }
}

/// The build folder, in which this program lies.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2);
    Ok(target
        .context("this program lies in a build folder")?
        .to_path_buf())
}

/// The server's program, which lies beside this one.
pub(crate) fn server_program() -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("chaos-server");
    anyhow::ensure!(
        program.is_file(),
        "{} is not there: build the package first",
        program.display()
    );
    Ok(program)
}
