//! One connection, from its beginning to one of its ends.

use std::{
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    AfterSwallow, Direction,
    orders::{Orders, until},
    postgres::Session,
    proxy::Shared,
    pump::{Budget, Pump},
};

const CONNECT: Duration = Duration::from_secs(5);
/// How long a closed connection waits for its other side to close as well.
const DRAIN: Duration = Duration::from_secs(1);

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Both sides have said all they had to say.
    Done,
    /// With FIN, whatever was still under way.
    Cut,
    /// With RST.
    Reset,
    /// After a reply was swallowed to its end.
    Swallowed,
}

/// What the two directions of a connection share.
#[derive(Debug)]
pub(crate) struct Link<'a> {
    pub(crate) shared: &'a Shared,
    /// The orders when the connection began.
    pub(crate) first: Orders,
    pub(crate) session: Mutex<Session>,
    pub(crate) budget: Mutex<Budget>,
}

/// Turns a client away, as a closed port would.
pub(crate) fn refuse(client: TcpStream) {
    let _ = client.set_zero_linger();
    drop(client);
}

pub(crate) async fn serve(client: TcpStream, shared: &Shared, first: Orders) {
    let connecting = timeout(CONNECT, TcpStream::connect(shared.upstream));
    let connected = tokio::select! {
        end = ordered_end(shared, first) => Err(end),
        connected = connecting => Ok(connected),
    };
    match connected {
        Ok(Ok(Ok(server))) => between(client, server, shared, first).await,
        Err(End::Cut) => close(client).await,
        Ok(_) | Err(_) => refuse(client),
    }
}

async fn between(mut client: TcpStream, mut server: TcpStream, shared: &Shared, first: Orders) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let link = Link {
        shared,
        first,
        session: Mutex::default(),
        budget: Mutex::default(),
    };
    let mut end = tokio::select! {
        // An order that is already there wins over bytes that are already there.
        biased;
        end = ordered_end(shared, first) => end,
        end = pass(&mut client, &mut server, &link) => end,
    };
    if end == End::Swallowed {
        shared.swallowed.fetch_add(1, Ordering::SeqCst);
        let hangs = shared.traps().after == AfterSwallow::Hang;
        end = End::Cut;
        if hangs {
            tokio::select! {
                ordered = ordered_end(shared, first) => end = ordered,
                () = discard(&mut client) => {}
            }
        }
    }
    match end {
        End::Done => {}
        End::Cut | End::Swallowed => {
            tokio::join!(close(client), close(server));
        }
        End::Reset => {
            refuse(client);
            refuse(server);
        }
    }
}

/// Waits until all connections are to end.
async fn ordered_end(shared: &Shared, first: Orders) -> End {
    let mut orders = shared.orders.subscribe();
    let ended = |now: &Orders| now.resets != first.resets || now.cuts != first.cuts;
    let now = until(&mut orders, ended).await;
    if now.resets == first.resets {
        End::Cut
    } else {
        End::Reset
    }
}

async fn pass(client: &mut TcpStream, server: &mut TcpStream, link: &Link<'_>) -> End {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = Pump::new(from_client, to_server, Direction::ToServer, link);
    let back = Pump::new(from_server, to_client, Direction::ToClient, link);
    let both = tokio::try_join!(there.run(), back.run());
    both.err().unwrap_or(End::Done)
}

/// Sends FIN and waits a little for the other side's.
///
/// A socket that is closed with unread bytes sends RST, which is not what was ordered.
async fn close(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let _ = timeout(DRAIN, discard(&mut stream)).await;
}

async fn discard(stream: &mut TcpStream) {
    let mut bytes = vec![0; 16 * 1024];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
}
