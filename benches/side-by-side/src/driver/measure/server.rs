//! The contenders' processes.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use side_by_side::READY;

/// Where the servers' programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) ours: PathBuf,
    /// The one of the other projects' layers, if it could be built.
    pub(crate) peers: Option<PathBuf>,
}

/// What a server is told.
#[derive(Clone, Debug)]
pub(crate) struct Setup<'s> {
    pub(crate) name: &'s str,
    pub(crate) database_url: String,
    pub(crate) file: PathBuf,
    pub(crate) pool: u32,
    pub(crate) body_bytes: usize,
    pub(crate) sweep_ms: Option<u64>,
}

/// A server, which is killed when this is dropped, and ends by itself if this process does.
pub(crate) struct RunningServer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl RunningServer {
    pub(crate) fn start(program: &Path, setup: &Setup<'_>) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--name", setup.name, "--database-url", &setup.database_url]);
        command.arg("--file").arg(&setup.file);
        command.args(["--pool", &setup.pool.to_string()]);
        command.args(["--body-bytes", &setup.body_bytes.to_string()]);
        if let Some(pace) = setup.sweep_ms {
            command.args(["--sweep-ms", &pace.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let port = server.read_port().with_context(|| setup.name.to_owned())?;
        server.address.set_port(port);
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn read_port(&mut self) -> Result<u16> {
        let output = self.child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        match line.trim().strip_prefix(READY) {
            Some(port) => Ok(port.parse()?),
            None => bail!("the contender does not start"),
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
