//! Postgres servers of a test's own, and what can stand before one.

use std::net::SocketAddr;

use blackbox::{Setup, StoreKind, Way};
use fault_proxy::FaultProxy;
use throwaway_postgres::{Binaries, Server};

/// A server of this test's own.
pub(crate) async fn server() -> Server {
    server_with(&[]).await
}

/// A server of this test's own, with these settings.
pub(crate) async fn server_with(settings: &'static [(&str, &str)]) -> Server {
    let started = tokio::task::spawn_blocking(|| {
        let binaries = Binaries::find(std::path::Path::new("../../target/postgres"));
        let binaries = binaries.expect("run `cargo xtask test`, or set PG_BIN");
        Server::start_with(&binaries, &std::env::temp_dir(), settings)
    });
    started.await.unwrap().unwrap()
}

/// A fixture that gets to the server through a proxy.
pub(crate) async fn behind_proxy(server: &Server) -> (FaultProxy, Setup) {
    let upstream = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let way = Way::Proxy(format!("postgres://postgres@{}/postgres", proxy.addr()));
    let setup = Setup::new(StoreKind::Postgres);
    (proxy, setup.on_server(&server.url()).way(way))
}
