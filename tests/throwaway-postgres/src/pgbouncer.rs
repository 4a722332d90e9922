use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    slice,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{PgBouncerProgram, folder, port::free_port, process, shell, watchdog::Watchdog};

const PID_FILE: &str = "pgbouncer.pid";
/// How long a pooler that is stopped may wait for transactions that are open.
const GRACE: Duration = Duration::from_secs(2);

/// A running, or stopped, pooler before a server.
///
/// It pools by transaction, with four connections for each user and database, and lets everybody
/// in. As sqlx needs it, it ignores the start-up parameter `options`: a `search_path` that is set
/// there does not arrive.
#[derive(Debug)]
pub struct PgBouncer {
    program: PgBouncerProgram,
    user: Option<&'static str>,
    folder: PathBuf,
    port: u16,
    /// Removes everything; dropped last.
    _watchdog: Watchdog,
}

impl PgBouncer {
    /// Starts a pooler before the server at `upstream`, with its files in a new folder under
    /// `parent`.
    ///
    /// # Errors
    ///
    /// With the end of its log, if it does not start within a minute.
    pub fn start(program: &PgBouncerProgram, parent: &Path, upstream: SocketAddr) -> Result<Self> {
        Self::start_with(program, parent, upstream, &[])
    }

    /// Starts a pooler with settings of `pgbouncer.ini`, which win over the usual ones:
    /// `("pool_mode", "session")`, say.
    ///
    /// # Errors
    ///
    /// With the end of its log, if it does not start within a minute.
    pub fn start_with(
        program: &PgBouncerProgram,
        parent: &Path,
        upstream: SocketAddr,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let user = shell::server_user();
        let folder = folder::fresh("throwaway-pgbouncer", parent, user)?;
        // Without shared memory or children there is nothing to clean up.
        let watchdog = Watchdog::watch(&folder, PID_FILE, "KILL")?;
        let port = free_port()?;
        let users = folder.join("users.txt");
        fs::write(&users, "\"postgres\" \"\"\n")?;
        fs::write(
            folder.join("pgbouncer.ini"),
            settings_file(&folder, port, upstream, settings),
        )?;
        let program = program.copied_into(&folder)?;
        user.map_or(Ok(()), |user| shell::give(&folder, user))?;
        let pooler = Self {
            program,
            user,
            folder,
            port,
            _watchdog: watchdog,
        };
        pooler.start_again()?;
        Ok(pooler)
    }

    /// Returns the address of the database `postgres` behind it, as a superuser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Returns the address of its console, which takes simple queries like `SHOW POOLS`.
    #[must_use]
    pub fn console_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/pgbouncer", self.port)
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder that holds everything of the pooler.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a stopped or killed pooler on the same port.
    ///
    /// # Errors
    ///
    /// With the end of its log, if it does not start within a minute.
    pub fn start_again(&self) -> Result<()> {
        let mut start = self.program.command(self.user)?;
        start
            .args(["-q", "-d"])
            .arg(self.folder.join("pgbouncer.ini"));
        // The pooler inherits these, so none of them may be a pipe that somebody reads.
        start
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = start.current_dir("/").status();
        let status = status.context("cannot run pgbouncer")?;
        let end = Instant::now() + process::BOUND;
        // It listens before its file has its process id.
        let listens = || TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        while !status.success() || !listens() || self.pid().is_err() {
            if !status.success() || Instant::now() > end {
                let log = folder::end_of(&self.folder.join("log"));
                bail!("PgBouncer does not start; its log ends:\n{log}");
            }
            sleep(process::POLL);
        }
        Ok(())
    }

    /// Stops the pooler: transactions that are open get a moment to end.
    ///
    /// # Errors
    ///
    /// If it is not running, or has not ended within a minute.
    pub fn stop(&self) -> Result<()> {
        let pid = self.pid()?.to_string();
        process::signal("INT", slice::from_ref(&pid))?;
        let end = Instant::now() + GRACE;
        while process::is_alive(&pid) {
            if Instant::now() > end {
                return self.kill();
            }
            sleep(process::POLL);
        }
        self.forget()
    }

    /// Kills the pooler with SIGKILL and waits for its end.
    ///
    /// # Errors
    ///
    /// If it is not running, or does not end.
    pub fn kill(&self) -> Result<()> {
        let pid = self.pid()?.to_string();
        process::signal("KILL", slice::from_ref(&pid))?;
        process::wait_for_end(slice::from_ref(&pid))?;
        self.forget()
    }

    /// Stops the process where it is, with SIGSTOP.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn pause(&self) -> Result<()> {
        process::signal("STOP", &[self.pid()?.to_string()])
    }

    /// Lets a paused pooler go on.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn resume(&self) -> Result<()> {
        process::signal("CONT", &[self.pid()?.to_string()])
    }

    /// Returns the process id.
    ///
    /// # Errors
    ///
    /// If the pooler is not running.
    pub fn pid(&self) -> Result<u32> {
        let file = fs::read_to_string(self.folder.join(PID_FILE));
        let file = file.context("PgBouncer is not running")?;
        file.trim().parse().context("the file has a process id")
    }

    /// Removes the file by which a next process would take this one for alive.
    fn forget(&self) -> Result<()> {
        match fs::remove_file(self.folder.join(PID_FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Writes down all settings; of two for the same, PgBouncer takes the last.
fn settings_file(
    folder: &Path,
    port: u16,
    upstream: SocketAddr,
    settings: &[(&str, &str)],
) -> String {
    let (host, server_port, folder) = (upstream.ip(), upstream.port(), folder.display());
    let mut file = format!(
        "[databases]\n* = host={host} port={server_port}\n\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         logfile = {folder}/log\npidfile = {folder}/{PID_FILE}\n\
         auth_type = trust\nauth_file = {folder}/users.txt\nadmin_users = postgres\n\
         ignore_startup_parameters = extra_float_digits, options\n\
         pool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 200\n"
    );
    for (name, value) in settings {
        file.push_str(&format!("{name} = {value}\n"));
    }
    file
}
