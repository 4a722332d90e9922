//! One process of the fixture server.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::eventually;

const START: Duration = Duration::from_secs(20);

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Mutex<Child>,
    pid: u32,
    /// The server ends when this is closed; the system closes it with this process.
    _stdin: Option<ChildStdin>,
    logs: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the server and waits until it listens; returns it without an address if it does not.
    pub(crate) async fn start(mut command: Command) -> Result<(Self, SocketAddr), Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the fixture server can be started");
        let logs = Arc::<Mutex<String>>::default();
        let stderr = child.stderr.take().expect("stderr is piped");
        let written = Arc::clone(&logs);
        thread::spawn(move || collect(stderr, &written));
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, address) = oneshot::channel();
        thread::spawn(move || announce(stdout, sender));
        let process = Self {
            pid: child.id(),
            _stdin: child.stdin.take(),
            child: Mutex::new(child),
            logs,
        };
        match timeout(START, address).await {
            Ok(Ok(address)) => Ok((process, address)),
            _ => Err(process),
        }
    }

    pub(crate) fn logs(&self) -> String {
        self.logs.lock().expect("writing does not panic").clone()
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid.to_string())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "SIG{name} can be sent"
        );
    }

    /// Kills the process and waits for its end.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().expect("waiting does not panic");
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits until the process has ended.
    pub(crate) async fn wait(&self) -> ExitStatus {
        let ended = || {
            self.child
                .lock()
                .expect("waiting does not panic")
                .try_wait()
        };
        eventually(|| async { matches!(ended(), Ok(Some(_))) }).await;
        ended()
            .expect("the process was waited for")
            .expect("the process has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            show(&self.logs());
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever reads a failed test needs it")]
fn show(logs: &str) {
    eprintln!("the fixture server wrote:\n{logs}");
}

fn collect(stderr: impl Read, logs: &Mutex<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let mut logs = logs.lock().expect("writing does not panic");
        logs.push_str(&line);
        logs.push('\n');
    }
}

fn announce(stdout: impl Read, sender: oneshot::Sender<SocketAddr>) {
    let mut sender = Some(sender);
    // Read to the end, so that the server never writes into a closed pipe.
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let address = line.strip_prefix("listening on ");
        if let Some(address) = address.and_then(|address| address.parse().ok())
            && let Some(sender) = sender.take()
        {
            let _ = sender.send(address);
        }
    }
}
