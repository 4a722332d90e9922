//! A fixture server and its controls.

use std::{net::SocketAddr, process::Command, process::ExitStatus, sync::Arc};

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Call, Database, Http2, StoreKind, Way, connection::Transport, eventually, process::Process,
    scenario,
};

/// One process of the fixture server. It is killed when it is dropped, and its database removed
/// with the last process on it.
#[derive(Debug)]
pub struct Fixture {
    // Dropped first: nobody must be using the database when it goes.
    process: Process,
    database: Arc<Database>,
    addr: SocketAddr,
}

/// A fixture that is not started yet.
#[derive(Clone, Debug)]
#[must_use = "call `start`"]
pub struct Setup {
    database: Option<Arc<Database>>,
    kind: StoreKind,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    server: Option<String>,
    way: Way,
}

impl Setup {
    /// Prepares a server on a fresh database.
    pub fn new(kind: StoreKind) -> Self {
        Self {
            database: None,
            kind,
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            server: None,
            way: Way::Direct,
        }
    }

    /// Adds arguments of the server.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().copied().map(str::to_owned));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it through another program: `["faketime", "-f", "+1h"]`.
    pub fn wrapper(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().copied().map(str::to_owned).collect();
        self
    }

    /// Makes the fresh schema on this Postgres server instead of the common one.
    pub fn on_server(mut self, url: &str) -> Self {
        self.kind = StoreKind::Postgres;
        self.server = Some(url.to_owned());
        self
    }

    /// Lets the server get to Postgres this way.
    pub fn way(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    ///
    /// With its log, if it does not listen in time.
    pub async fn start(self) -> Fixture {
        let (database, command) = self.prepare().await;
        match Process::start(command).await {
            Ok((process, addr)) => Fixture {
                process,
                database,
                addr,
            },
            Err(process) => panic!("the fixture server does not start:\n{}", process.logs()),
        }
    }

    /// Starts the server, which is to refuse that, and returns what it says.
    ///
    /// # Panics
    ///
    /// If it listens, or neither listens nor ends in time.
    pub async fn start_in_vain(self) -> String {
        let (_database, command) = self.prepare().await;
        let Err(process) = Process::start(command).await else {
            panic!("the fixture server starts");
        };
        assert!(!process.wait().await.success());
        eventually(|| async { process.logs().contains("Error:") }).await;
        process.logs()
    }

    async fn prepare(self) -> (Arc<Database>, Command) {
        let database = match (self.database, self.server) {
            (Some(database), _) => database,
            (None, Some(server)) => Arc::new(Database::on_server(&server, self.way).await),
            (None, None) => Arc::new(Database::fresh(self.kind).await),
        };
        let mut command = match self.wrapper.split_first() {
            None => Command::new(scenario::binary()),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(scenario::binary());
                command
            }
        };
        command.arg("--exit-with-stdin").args(database.arguments());
        command.args(self.arguments);
        command.envs(self.environment);
        (database, command)
    }
}

impl Fixture {
    /// Starts a server with these arguments on a fresh database.
    ///
    /// # Panics
    ///
    /// With its log, if it does not listen in time.
    pub async fn start(kind: StoreKind, arguments: &[&str]) -> Self {
        Setup::new(kind).args(arguments).start().await
    }

    /// Starts a server in a fresh schema of the Postgres server behind `url`.
    ///
    /// # Panics
    ///
    /// With its log, if it does not listen in time.
    pub async fn start_on(url: &str, arguments: &[&str]) -> Self {
        let setup = Setup::new(StoreKind::Postgres).on_server(url);
        setup.args(arguments).start().await
    }

    /// Starts another process with these arguments on the same database.
    ///
    /// # Panics
    ///
    /// With its log, if it does not listen in time, or if the store is one process's memory.
    pub async fn second(&self, arguments: &[&str]) -> Self {
        self.another().args(arguments).start().await
    }

    /// Prepares another process on the same database.
    ///
    /// # Panics
    ///
    /// If the store is one process's memory.
    pub fn another(&self) -> Setup {
        let kind = match *self.database {
            Database::Memory => panic!("two processes do not share memory"),
            Database::Sqlite { .. } => StoreKind::Sqlite,
            Database::Postgres { .. } => StoreKind::Postgres,
        };
        Setup {
            database: Some(Arc::clone(&self.database)),
            ..Setup::new(kind)
        }
    }

    /// Returns the address that the server listens on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns where the records are.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns what the server has logged so far.
    #[must_use]
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Returns the server's process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub fn kill9(&self) {
        self.process.kill();
    }

    /// Stops the process where it is, with SIGSTOP.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Asks the process to end, with SIGTERM.
    pub fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Waits until the process has ended.
    pub async fn wait_exit(&self) -> ExitStatus {
        self.process.wait().await
    }
}

/// Requests.
impl Fixture {
    /// Begins a request; it is sent as alice unless told otherwise.
    pub fn request(&self, method: Method, path: &str) -> Call {
        Call::new(Transport::Fresh(self.addr), method, path)
    }

    /// Begins a POST.
    pub fn post(&self, path: &str) -> Call {
        self.request(Method::POST, path)
    }

    /// Begins a PATCH.
    pub fn patch(&self, path: &str) -> Call {
        self.request(Method::PATCH, path)
    }

    /// Begins a GET.
    pub fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    /// Opens one connection with HTTP/2, for many requests.
    ///
    /// # Panics
    ///
    /// If the server refuses it.
    pub async fn h2(&self) -> Http2 {
        Http2::connect(self.addr).await
    }
}

/// The server's controls.
impl Fixture {
    /// Returns how often handlers have run behind a path, `/status/500`, or a template,
    /// `/status/{code}`.
    pub async fn count(&self, route: &str) -> u64 {
        let route = route.replace('%', "%25").replace('&', "%26");
        let route = route.replace('{', "%7B").replace('}', "%7D");
        self.control(&format!("count?route={route}")).await
    }

    /// Returns how often any handler has run.
    pub async fn runs(&self) -> u64 {
        self.control("count").await
    }

    /// Opens a gate; it stays open.
    pub async fn release(&self, gate: &str) {
        self.command(&format!("release/{gate}")).await;
    }

    /// Closes a gate again.
    pub async fn close(&self, gate: &str) {
        self.command(&format!("close/{gate}")).await;
    }

    /// Returns how many handlers are at a gate.
    pub async fn gate_waiting(&self, gate: &str) -> usize {
        self.control(&format!("gate_waiting/{gate}")).await
    }

    /// Waits until so many handlers are at a gate.
    pub async fn at_gate(&self, gate: &str, handlers: usize) {
        eventually(|| async { self.gate_waiting(gate).await == handlers }).await;
    }

    /// Returns all live records, without their bodies.
    pub async fn rows(&self) -> Vec<Value> {
        self.control("rows").await
    }

    /// Returns how many records are completed.
    pub async fn completed(&self) -> usize {
        let rows = self.rows().await;
        rows.iter()
            .filter(|row| row["state"] == "completed")
            .count()
    }

    /// Returns how many records are physically there, expired ones included.
    ///
    /// # Panics
    ///
    /// On the memory store, which cannot tell.
    pub async fn physical_rows(&self) -> i64 {
        let rows: Option<i64> = self.control("physical_rows").await;
        rows.expect("the store can be looked at from outside")
    }

    /// Sweeps once and returns how many records were deleted.
    pub async fn sweep(&self) -> u64 {
        self.control("sweep").await
    }

    /// Returns the rows that `/tx` has written.
    pub async fn effects(&self) -> Vec<String> {
        self.control("effects").await
    }

    /// Resolves a key as an operator would: with an answer of this status, or by freeing it.
    ///
    /// Returns what it came to: `Applied`, `Running { .. }`, ..
    pub async fn resolve(&self, record: &Value, answer: Option<u16>) -> String {
        let id = record["id"].as_str().unwrap_or_default();
        let answer = answer.map_or_else(String::new, |status| format!("&answer={status}"));
        self.control(&format!("resolve?record={id}{answer}")).await
    }

    /// Returns how often each outcome was reported: `Executed(Stored)`, `Superseded`, ..
    pub async fn outcome(&self, outcome: &str) -> u64 {
        let outcomes: Value = self.control("outcomes").await;
        outcomes[outcome].as_u64().unwrap_or_default()
    }

    /// Makes the authentication layer refuse this caller from now on.
    pub async fn revoke(&self, caller: &str) {
        self.command(&format!("revoke/{caller}")).await;
    }

    /// Forgets counts, gates and effects, but not the records.
    pub async fn reset(&self) {
        self.command("reset").await;
    }

    async fn control<T: DeserializeOwned>(&self, what: &str) -> T {
        let reply = self.get(&format!("/_ctl/{what}")).send().await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        serde_json::from_slice(&reply.body).expect("the server's controls answer in JSON")
    }

    async fn command(&self, what: &str) {
        let reply = self.post(&format!("/_ctl/{what}")).send().await;
        assert!(reply.status < 300, "{what}: {}", reply.text());
    }
}
