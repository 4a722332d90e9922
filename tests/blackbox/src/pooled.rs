//! Poolers for fixtures, and the server behind all of them.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{LazyLock, OnceLock},
};

use throwaway_postgres::{Binaries, PgBouncer, PgBouncerProgram, Server};

/// What stands between a fixture and its Postgres.
#[derive(Debug)]
pub struct Pooled {
    pooler: PgBouncer,
}

/// One for all tests; it is removed when this process has ended.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/postgres");
    let binaries = Binaries::find(&cache).expect("run `cargo xtask test`, or set PG_BIN");
    Server::start(&binaries, &std::env::temp_dir()).expect("a server can be started")
});

/// Returns PgBouncer; `None` where there is none, which was said loudly.
pub(crate) fn program() -> Option<&'static PgBouncerProgram> {
    static PROGRAM: OnceLock<Option<PgBouncerProgram>> = OnceLock::new();
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/pgbouncer");
    let program = PROGRAM.get_or_init(|| PgBouncerProgram::provide_or_leave_out(&cache));
    program.as_ref()
}

impl Pooled {
    /// Starts a pooler with these settings of `pgbouncer.ini`.
    ///
    /// It is the fixture's own: transactions that are open in it are not in another test's way.
    ///
    /// # Panics
    ///
    /// If there is none, or it does not start.
    #[must_use]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let program = program().expect("there is one where scenarios ask for it");
        let upstream = SocketAddr::from(([127, 0, 0, 1], SERVER.port()));
        let folder = std::env::temp_dir();
        let pooler = PgBouncer::start_with(program, &folder, upstream, settings);
        Self {
            pooler: pooler.expect("a pooler can be started"),
        }
    }

    /// Tells whether there is a pooler that can know about prepared statements.
    #[must_use]
    pub fn can_know_prepared_statements() -> bool {
        program().is_some_and(|program| program.version() >= (1, 21))
    }

    /// Returns the server itself.
    #[must_use]
    pub fn server_url() -> String {
        SERVER.url()
    }

    /// Returns the address of the pooler.
    #[must_use]
    pub fn url(&self) -> String {
        self.pooler.url()
    }
}
