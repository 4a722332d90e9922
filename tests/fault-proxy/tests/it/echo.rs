//! A client, a proxy, and a server that the test plays itself or that echoes.

use std::io::ErrorKind;

use fault_proxy::FaultProxy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::soon;

/// A proxy before a server, whose side of each connection the test holds.
pub(crate) struct Stage {
    pub(crate) proxy: FaultProxy,
    server: TcpListener,
}

impl Stage {
    pub(crate) async fn set_up() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(server.local_addr().unwrap());
        let proxy = proxy.await.unwrap();
        Self { proxy, server }
    }

    /// Connects, and returns both ends.
    pub(crate) async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.addr()).await.unwrap();
        let (server, _) = soon(self.server.accept()).await.unwrap();
        (client, server)
    }
}

/// Sends from one end and reads at the other.
pub(crate) async fn passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    let mut heard = vec![0; bytes.len()];
    soon(to.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, bytes);
}

/// Reads up to a FIN.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// Reads up to a RST.
pub(crate) async fn is_reset(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let read = soon(stream.read_to_end(&mut bytes)).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// A proxy before a server that says back what it hears.
pub(crate) async fn echoing() -> (FaultProxy, JoinSet<()>) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap());
    let proxy = proxy.await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut connection, _)) = server.accept().await {
            connections.spawn(async move {
                let (mut from, mut to) = connection.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    (proxy, tasks)
}

/// Tells whether a message comes back, up to the end of the connection.
pub(crate) async fn echoes(client: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut heard = vec![0; bytes.len()];
    let echoed = async {
        client.write_all(bytes).await?;
        client.read_exact(&mut heard).await
    };
    soon(echoed).await.is_ok() && heard == bytes
}
