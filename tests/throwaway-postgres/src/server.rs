use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    slice,
};

use anyhow::{Context, Result, bail};

use crate::{Binaries, folder, port::free_port, process, shell, watchdog::Watchdog};

const PID_FILE: &str = "data/postmaster.pid";
/// The line of `postmaster.pid`, counted from 0, that ends with the id of the shared memory.
const SHARED_MEMORY: usize = 6;

/// How a server is stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// Ends all connections and shuts down cleanly.
    Fast,
    /// Ends at once, as after a crash.
    Immediate,
}

/// A running, or stopped, server with data of its own.
#[derive(Debug)]
pub struct Server {
    binaries: Binaries,
    user: Option<&'static str>,
    folder: PathBuf,
    port: u16,
    /// What is started in the place of `postgres`.
    wrapper: Option<PathBuf>,
    /// Removes everything; dropped last.
    _watchdog: Watchdog,
}

impl Server {
    /// Makes a database cluster in a new folder under `parent` and starts its server.
    ///
    /// # Errors
    ///
    /// With the end of the server's log, if it does not start within a minute.
    pub fn start(binaries: &Binaries, parent: &Path) -> Result<Self> {
        Self::start_with(binaries, parent, &[])
    }

    /// Makes and starts a server with settings of `postgresql.conf` beside the usual ones.
    ///
    /// They win over the usual ones: `("fsync", "on")` makes commits durable, as in production.
    ///
    /// # Errors
    ///
    /// With the end of the server's log, if it does not start within a minute.
    pub fn start_with(
        binaries: &Binaries,
        parent: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let server = Self::make(binaries, parent, settings)?;
        server.start_again()?;
        Ok(server)
    }

    /// Makes and starts a server that runs under a tool, such as valgrind: `tool` is called with
    /// the path of `postgres` and its arguments, in the server's folder.
    ///
    /// # Errors
    ///
    /// With the end of the server's log, if it does not start within a minute.
    pub fn start_under(
        binaries: &Binaries,
        parent: &Path,
        settings: &[(&str, &str)],
        tool: &str,
    ) -> Result<Self> {
        let mut server = Self::make(binaries, parent, settings)?;
        let (folder, program) = (&server.folder, binaries.program("postgres"));
        let wrapper = folder.join("postgres");
        let (folder, program) = (folder.display(), program.display());
        let script = format!("#!/bin/sh\ncd '{folder}' && exec {tool} '{program}' \"$@\"\n");
        fs::write(&wrapper, script)?;
        fs::set_permissions(&wrapper, Permissions::from_mode(0o755))?;
        server.wrapper = Some(wrapper);
        server.start_again()?;
        Ok(server)
    }

    fn make(binaries: &Binaries, parent: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let user = shell::server_user();
        let folder = folder::fresh("throwaway-postgres", parent, user)?;
        let watchdog = Watchdog::watch(&folder, PID_FILE, "QUIT")?;
        let server = Self {
            binaries: binaries.clone(),
            user,
            folder,
            port: free_port()?,
            wrapper: None,
            _watchdog: watchdog,
        };
        server.initialise(settings)?;
        Ok(server)
    }

    /// Returns the address of the database `postgres`, as a superuser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder that holds everything of the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a stopped or killed server on the same data and port.
    ///
    /// # Errors
    ///
    /// With the end of the server's log, if it does not start within a minute.
    pub fn start_again(&self) -> Result<()> {
        let mut start = shell::command(self.user, self.binaries.program("pg_ctl"));
        start.arg("-D").arg(self.data()).arg("-l").arg(self.log());
        if let Some(wrapper) = &self.wrapper {
            start.arg("-p").arg(wrapper);
        }
        start.args(["-w", "-t", "60", "-s", "start"]);
        // The server inherits these, so none of them may be a pipe that somebody reads.
        start
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = start
            .current_dir("/")
            .status()
            .context("cannot run pg_ctl")?;
        if !status.success() {
            bail!(
                "Postgres does not start; its log ends:\n{}",
                folder::end_of(&self.log())
            );
        }
        Ok(())
    }

    /// Stops the server and waits for its end.
    ///
    /// # Errors
    ///
    /// If it has not ended within a minute.
    pub fn stop(&self, mode: Mode) -> Result<()> {
        let mode = match mode {
            Mode::Fast => "fast",
            Mode::Immediate => "immediate",
        };
        let mut stop = shell::command(self.user, self.binaries.program("pg_ctl"));
        stop.arg("-D").arg(self.data()).current_dir("/");
        shell::run(stop.args(["-m", mode, "-w", "-t", "60", "-s", "stop"])).map(drop)
    }

    /// Kills the server with SIGKILL and waits until none of its processes is left.
    ///
    /// # Errors
    ///
    /// If it is not running, or its processes do not end.
    pub fn kill(&self) -> Result<()> {
        // A postmaster that stands still has no child that is not on the list.
        process::signal("STOP", &[self.pid()?.to_string()])?;
        let processes = self.processes()?;
        for each in &processes {
            // One that ends by itself just now needs no signal.
            let _ = process::signal("KILL", slice::from_ref(each));
        }
        process::wait_for_end(&processes)?;
        self.remove_shared_memory();
        // The next server would take a dead process that nobody has waited for yet for a live one.
        fs::remove_file(self.folder.join(PID_FILE)).context("cannot remove the pid file")
    }

    /// Kills the process of one client with SIGKILL, one that is at work if there is one, so that
    /// the server drops what is in its memory, recovers and goes on by itself.
    ///
    /// Returns whether there was any client.
    ///
    /// # Errors
    ///
    /// If the server is not running.
    pub fn crash(&self) -> Result<bool> {
        let backends = self.backends()?;
        let busy = backends.iter().find(|(_, title)| !title.contains("idle"));
        let Some((pid, _)) = busy.or_else(|| backends.first()) else {
            return Ok(false);
        };
        Ok(process::signal("KILL", slice::from_ref(pid)).is_ok())
    }

    /// Stops all processes of the server where they are, with SIGSTOP.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn pause(&self) -> Result<()> {
        process::signal("STOP", &self.processes()?)
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn resume(&self) -> Result<()> {
        process::signal("CONT", &self.processes()?)
    }

    /// Ends the session of every client, as `pg_terminate_backend` does, and returns their number.
    ///
    /// # Errors
    ///
    /// If the server is not running.
    pub fn terminate_backends(&self) -> Result<usize> {
        // One that ends by itself just now needs no signal.
        let backends = self.backends()?.into_iter();
        let terminated =
            backends.filter(|(pid, _)| process::signal("TERM", slice::from_ref(pid)).is_ok());
        Ok(terminated.count())
    }

    /// Returns the process id of the postmaster.
    ///
    /// # Errors
    ///
    /// If the server is not running.
    pub fn pid(&self) -> Result<u32> {
        let file =
            fs::read_to_string(self.folder.join(PID_FILE)).context("Postgres is not running")?;
        let line = file.lines().next().unwrap_or_default();
        line.trim()
            .parse()
            .context("postmaster.pid begins with a process id")
    }

    fn initialise(&self, settings: &[(&str, &str)]) -> Result<()> {
        let mut initdb = shell::command(self.user, self.binaries.program("initdb"));
        initdb.arg("-D").arg(self.data()).current_dir("/");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
        shell::run(initdb.args(["--locale=C", "--no-sync"]))?;
        let path = self.data().join("postgresql.auto.conf");
        fs::write(&path, settings_file(self.port, settings))?;
        self.user.map_or(Ok(()), |user| shell::give(&path, user))
    }

    /// Lists the clients' processes, with their titles.
    fn backends(&self) -> Result<Vec<(String, String)>> {
        let pid = self.pid()?.to_string();
        let titled = process::children_of(&pid).into_iter().map(|pid| {
            let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, title)
        });
        // The title names the client's address; the server's own processes have none.
        Ok(titled
            .filter(|(_, title)| title.contains(" 127.0.0.1("))
            .collect())
    }

    /// Lists the postmaster and its children.
    fn processes(&self) -> Result<Vec<String>> {
        let pid = self.pid()?.to_string();
        let mut processes = process::children_of(&pid);
        processes.insert(0, pid);
        Ok(processes)
    }

    /// Removes the segment by which servers on the same data see each other.
    ///
    /// A killed server leaves it, and nobody but a server on the same data would remove it.
    fn remove_shared_memory(&self) {
        let file = fs::read_to_string(self.folder.join(PID_FILE)).unwrap_or_default();
        let line = file.lines().nth(SHARED_MEMORY).unwrap_or_default();
        if let Some(segment) = line.split_whitespace().nth(1) {
            // Without `ipcrm` 56 bytes stay, which is no reason to fail a test.
            let _ = shell::run(Command::new("ipcrm").args(["-m", segment]));
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// Writes down all settings; of two for the same, Postgres takes the last.
fn settings_file(port: u16, settings: &[(&str, &str)]) -> String {
    // Nothing here has to survive a power failure; kill -9 it does survive.
    // A killed server leaves its dynamic shared memory: with `mmap`, inside of its folder.
    let mut file = format!(
        "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
         max_connections = 300\nfsync = off\nshared_buffers = 64MB\n\
         dynamic_shared_memory_type = mmap\n"
    );
    for (name, value) in settings {
        let quoted = value.replace('\'', "''");
        file.push_str(&format!("{name} = '{quoted}'\n"));
    }
    file
}
