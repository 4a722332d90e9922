//! What happens to connections.

use std::{io::ErrorKind, time::Duration};

use fault_proxy::{Direction, Fault, FaultProxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::{
    echo::{Stage, echoes, echoing, is_reset, passes, rest},
    eventually, not_now, soon,
};

#[tokio::test]
async fn without_a_fault_everything_passes_and_ends_pass_as_well() {
    let stage = Stage::set_up().await;
    let (mut client, mut server) = stage.connect().await;
    passes(&mut client, &mut server, b"ping").await;
    passes(&mut server, &mut client, b"pong").await;
    let long: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let (sent, heard) = tokio::join!(
        async {
            client.write_all(&long).await.unwrap();
            client.shutdown().await.unwrap();
        },
        rest(&mut server)
    );
    assert_eq!((sent, heard == long), ((), true));
    // Half of the connection is closed, and the other one still passes.
    passes(&mut server, &mut client, b"late").await;
    drop(server);
    assert!(rest(&mut client).await.is_empty());
    eventually(|| stage.proxy.connections() == 0).await;
    assert_eq!(stage.proxy.accepted(), 1);
}

#[tokio::test]
async fn a_client_of_a_server_that_is_down_is_reset() {
    let (proxy, mut server) = echoing().await;
    server.shutdown().await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    is_reset(&mut client).await;
}

#[tokio::test]
async fn a_delay_holds_back_each_direction_and_ends_at_once() {
    let (proxy, _server) = echoing().await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(echoes(&mut client, b"at once").await);
    let delay = Duration::from_millis(60);
    proxy.set(Fault::Delay(delay));
    let begun = Instant::now();
    assert!(echoes(&mut client, b"slowly").await);
    assert!(begun.elapsed() >= 2 * delay, "{:?}", begun.elapsed());

    proxy.set(Fault::Delay(Duration::from_secs(3600)));
    client.write_all(b"held back").await.unwrap();
    let mut heard = [0; 9];
    not_now(client.read_exact(&mut heard)).await;
    proxy.clear();
    soon(client.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"held back");
}

#[tokio::test]
async fn a_bandwidth_is_kept_in_each_direction() {
    let (proxy, _server) = echoing().await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    proxy.set(Fault::Bandwidth(10_000));
    let begun = Instant::now();
    assert!(echoes(&mut client, &[7; 2_000]).await);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    proxy.set(Fault::Bandwidth(1));
    client.write_all(&[7; 2_000]).await.unwrap();
    let mut heard = [0; 2_000];
    not_now(client.read_exact(&mut heard)).await;
    proxy.clear();
    soon(client.read_exact(&mut heard)).await.unwrap();
}

#[tokio::test]
async fn a_black_hole_swallows_one_direction_or_both() {
    let stage = Stage::set_up().await;
    let (mut client, mut server) = stage.connect().await;
    let mut byte = [0; 1];
    stage.proxy.set(Fault::BlackHole(Direction::ToServer));
    client.write_all(b"lost").await.unwrap();
    passes(&mut server, &mut client, b"heard").await;
    not_now(server.read(&mut byte)).await;

    stage.proxy.set(Fault::BlackHole(Direction::Both));
    server.write_all(b"lost").await.unwrap();
    not_now(client.read(&mut byte)).await;

    stage.proxy.clear();
    passes(&mut client, &mut server, b"there").await;
    passes(&mut server, &mut client, b"and back").await;
}

#[tokio::test]
async fn a_black_hole_swallows_the_end_of_a_client_until_it_is_cleared() {
    let stage = Stage::set_up().await;
    let (client, mut server) = stage.connect().await;
    stage.proxy.set(Fault::BlackHole(Direction::Both));
    drop(client);
    not_now(server.read(&mut [0; 1])).await;
    assert_eq!(stage.proxy.connections(), 1);
    stage.proxy.clear();
    assert!(rest(&mut server).await.is_empty());
}

#[tokio::test]
async fn refused_clients_are_reset_and_the_others_go_on() {
    let stage = Stage::set_up().await;
    let (mut client, mut server) = stage.connect().await;
    stage.proxy.set(Fault::Refuse);
    let refused = async {
        let mut late = TcpStream::connect(stage.proxy.addr()).await?;
        late.read(&mut [0; 1]).await
    };
    let refused = soon(refused).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
    passes(&mut client, &mut server, b"still here").await;
    stage.proxy.clear();
    let (mut late, mut its_server) = stage.connect().await;
    passes(&mut late, &mut its_server, b"hello").await;
    assert_eq!(stage.proxy.accepted(), 2);
}

#[tokio::test]
async fn a_cut_ends_all_connections_in_order_and_none_that_comes_later() {
    let stage = Stage::set_up().await;
    let mut ends = [stage.connect().await, stage.connect().await];
    for (client, server) in &mut ends {
        passes(client, server, b"hello").await;
    }
    stage.proxy.cut();
    for (client, server) in &mut ends {
        assert!(rest(client).await.is_empty());
        assert!(rest(server).await.is_empty());
    }
    let (mut client, mut server) = stage.connect().await;
    passes(&mut client, &mut server, b"hello").await;
    drop(ends);
    eventually(|| stage.proxy.connections() == 1).await;
}

#[tokio::test]
async fn a_cut_hits_connections_in_a_black_hole_as_well() {
    let stage = Stage::set_up().await;
    let (mut client, mut server) = stage.connect().await;
    stage.proxy.set(Fault::BlackHole(Direction::Both));
    client.write_all(b"lost").await.unwrap();
    stage.proxy.cut();
    assert!(rest(&mut client).await.is_empty());
    assert!(rest(&mut server).await.is_empty());
}

#[tokio::test]
async fn a_reset_breaks_both_sides_off() {
    let stage = Stage::set_up().await;
    let (mut client, mut server) = stage.connect().await;
    passes(&mut client, &mut server, b"hello").await;
    stage.proxy.reset();
    is_reset(&mut client).await;
    is_reset(&mut server).await;
    eventually(|| stage.proxy.connections() == 0).await;
}

#[tokio::test]
async fn a_half_close_leaves_the_other_direction_open() {
    let stage = Stage::set_up().await;
    let (mut client, mut server) = stage.connect().await;
    stage.proxy.half_close(Direction::ToClient);
    assert!(rest(&mut client).await.is_empty());
    passes(&mut client, &mut server, b"unanswered").await;
    // The server may go on, and nobody hears it.
    server.write_all(b"lost").await.unwrap();
    stage.proxy.half_close(Direction::ToServer);
    assert!(rest(&mut server).await.is_empty());
}

#[tokio::test]
async fn a_dropped_proxy_leaves_neither_connections_nor_a_port() {
    let stage = Stage::set_up().await;
    let (mut client, mut server) = stage.connect().await;
    passes(&mut client, &mut server, b"hello").await;
    let address = stage.proxy.addr();
    drop(stage.proxy);
    assert!(rest(&mut client).await.is_empty());
    assert!(rest(&mut server).await.is_empty());
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    soon(refused).await;
}

/// Spawned tasks have to be able to hold one.
const _: fn() = || {
    fn sendable<T: Send + Sync>() {}
    sendable::<FaultProxy>();
};
