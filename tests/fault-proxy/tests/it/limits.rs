//! What is counted.

use fault_proxy::Fault;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    echo::{Stage, is_reset, passes, rest},
    eventually, soon,
};

#[tokio::test]
async fn a_connection_is_cut_after_so_many_bytes() {
    let stage = Stage::set_up().await;
    let (mut client, mut server) = stage.connect().await;
    passes(&mut client, &mut server, b"not counted").await;
    stage.proxy.set(Fault::CutAfter(10));
    passes(&mut client, &mut server, b"0123").await;
    passes(&mut server, &mut client, b"45").await;
    client.write_all(b"6789 and more").await.unwrap();
    assert_eq!(rest(&mut server).await, b"6789");
    assert!(rest(&mut client).await.is_empty());

    // Each connection has its own count, and each order begins anew.
    let (mut client, mut server) = stage.connect().await;
    passes(&mut client, &mut server, b"012345678").await;
    stage.proxy.set(Fault::CutAfter(2));
    client.write_all(b"abc").await.unwrap();
    assert_eq!(rest(&mut server).await, b"ab");
}

#[tokio::test]
async fn the_number_of_connections_is_bounded() {
    let stage = Stage::set_up().await;
    let mut ends = Vec::new();
    for _ in 0..1_000 {
        ends.push(stage.connect().await);
    }
    let mut late = soon(TcpStream::connect(stage.proxy.addr())).await.unwrap();
    is_reset(&mut late).await;
    ends.clear();
    eventually(|| stage.proxy.connections() == 0).await;
    let (mut client, mut server) = stage.connect().await;
    passes(&mut client, &mut server, b"hello").await;
}
