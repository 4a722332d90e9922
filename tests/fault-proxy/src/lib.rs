//! A TCP proxy whose faults tests set while it runs.
//!
//! A [`FaultProxy`] stands between a client and its server. What it does wrong is a [`Fault`] that
//! lasts until the next one ([`set`](FaultProxy::set), [`clear`](FaultProxy::clear)), or happens
//! once ([`cut`](FaultProxy::cut), [`reset`](FaultProxy::reset),
//! [`half_close`](FaultProxy::half_close)). Connections that exist take up either at once.
//!
//! It also reads along what a client says to Postgres, and can lose the answer to a statement that
//! has run ([`swallow_next_commit_reply`](FaultProxy::swallow_next_commit_reply)): the client then
//! cannot know whether its COMMIT happened.
//!
//! # What this does not do
//!
//! It does not read encrypted connections: they pass, with every other fault, but no reply of
//! theirs is swallowed.
//!
//! # Example
//!
//! ```
//! use fault_proxy::{Fault, FaultProxy};
//! use tokio::{
//!     io::{AsyncReadExt, AsyncWriteExt},
//!     net::{TcpListener, TcpStream},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let server = TcpListener::bind("127.0.0.1:0").await?;
//! let proxy = FaultProxy::start(server.local_addr()?).await?;
//! let mut client = TcpStream::connect(proxy.addr()).await?;
//! client.write_all(b"hello").await?;
//! let (mut accepted, _) = server.accept().await?;
//! let mut heard = [0; 5];
//! accepted.read_exact(&mut heard).await?;
//! assert_eq!(&heard, b"hello");
//!
//! // Two bytes come through, and then the connection is closed.
//! proxy.set(Fault::CutAfter(2));
//! client.write_all(b"world").await?;
//! let mut rest = Vec::new();
//! accepted.read_to_end(&mut rest).await?;
//! assert_eq!(rest, b"wo");
//! # Ok(())
//! # }
//! ```

mod connection;
mod fault;
mod orders;
mod postgres;
mod proxy;
mod pump;
mod swallow;

pub use crate::{
    fault::{AfterSwallow, Direction, Fault},
    proxy::FaultProxy,
};
