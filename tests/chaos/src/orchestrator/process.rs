//! One process of a server.

use std::{fs::File, net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use chaos::ServerId;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const START: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_secs(10);

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: ServerId,
    pub(crate) address: SocketAddr,
    pub(crate) is_shifted: bool,
    child: Child,
    pid: Pid,
    /// The server ends when this is closed; the system closes it with this process.
    stdin: Option<ChildStdin>,
    /// Kept open, so that the server never writes into a closed pipe.
    _stdout: BufReader<ChildStdout>,
    pid_file: PathBuf,
}

impl Process {
    /// Starts the server and waits until it listens.
    pub(crate) async fn start(
        id: ServerId,
        mut command: Command,
        log: &std::path::Path,
        pids: &std::path::Path,
        is_shifted: bool,
    ) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a server")?;
        let number = child.id().context("the server has just been started")?;
        let pid_file = pids.join(number.to_string());
        std::fs::write(&pid_file, "")?;
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        timeout(START, stdout.read_line(&mut line))
            .await
            .context("a server does not start in time")??;
        let address = line.trim().strip_prefix("listening on ");
        let address = address.with_context(|| format!("{id} did not start; see its log"))?;
        Ok(Self {
            id,
            address: address.parse()?,
            is_shifted,
            pid: pid.context("a process id is a positive number")?,
            stdin: child.stdin.take(),
            child,
            _stdout: stdout,
            pid_file,
        })
    }

    /// Stops the process where it is.
    pub(crate) fn pause(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::STOP)?)
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// Kills it with SIGKILL and waits for its end.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.start_kill()?;
        timeout(END, self.child.wait()).await??;
        self.remove_traces();
        Ok(())
    }

    /// Closes its standard input and waits for its end.
    pub(crate) async fn end(mut self) -> Result<()> {
        drop(self.stdin.take());
        timeout(END, self.child.wait()).await??;
        self.remove_traces();
        Ok(())
    }

    /// The library that shifts clocks leaves these behind, and stumbles over them
    /// when another process gets the same number.
    fn remove_traces(&self) {
        let number = self.pid.as_raw_nonzero();
        let _ = std::fs::remove_file(format!("/dev/shm/faketime_shm_{number}"));
        let _ = std::fs::remove_file(format!("/dev/shm/sem.faketime_sem_{number}"));
        let _ = std::fs::remove_file(&self.pid_file);
    }
}
