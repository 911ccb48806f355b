use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use spire_runtime::logging::capture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tls::tests::{Authority, Bundles, client, server};
use crate::tls::{ClientTls, ServerTls};

struct Fixture {
    tls: Arc<ServerTls>,
    client: ClientTls,
}

async fn fixture() -> Fixture {
    let ca = Authority::new("example.org").await;
    let bundles = Bundles::of([&ca]);
    Fixture { tls: server(&ca, bundles.clone()).await, client: client(&ca, bundles, None) }
}

async fn listen(tls: Arc<ServerTls>, options: IncomingOptions) -> (TlsIncoming, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (tls_incoming(listener, tls, options), address)
}

fn behind(proxies: &str) -> IncomingOptions {
    IncomingOptions {
        proxies: Some(TrustedNetworks::parse([proxies]).unwrap()),
        ..IncomingOptions::default()
    }
}

#[tokio::test]
async fn silent_and_broken_clients_hold_up_nobody() {
    let Fixture { tls, client } = fixture().await;
    let (mut incoming, address) = listen(tls, IncomingOptions::default()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut broken = TcpStream::connect(address).await.unwrap();
    broken.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let good = client.connect(TcpStream::connect(address).await.unwrap(), "localhost").await.unwrap();
    assert_eq!(
        incoming.next().await.unwrap().unwrap().info().peer_addr(),
        good.get_ref().0.local_addr().unwrap()
    );
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_off() {
    let Fixture { tls, .. } = fixture().await;
    let log = capture();
    let options =
        IncomingOptions { handshake_timeout: Duration::from_millis(20), ..IncomingOptions::default() };
    let (_incoming, address) = listen(tls, options).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    let line = log.find("Connection refused during the handshake").unwrap();
    assert_eq!(line.field("error"), "no handshake within 20ms");
}

#[tokio::test]
async fn headers_of_trusted_proxies_name_the_client_and_are_optional() {
    // SA-213
    let Fixture { tls, client } = fixture().await;
    let (mut incoming, address) = listen(tls, behind("127.0.0.0/8")).await;
    let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    v2.extend([192, 0, 2, 9, 198, 51, 100, 1, 0x00, 0x50, 0x01, 0xbb]);
    for (header, expected) in [
        (v1, Some("192.0.2.1:56324")),
        (v2, Some("192.0.2.9:80")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (vec![], None),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let own = stream.local_addr().unwrap();
        stream.write_all(&header).await.unwrap();
        let _client = client.connect(stream, "localhost").await.unwrap();
        let info = incoming.next().await.unwrap().unwrap().info().clone();
        assert_eq!(info.peer_addr(), expected.map_or(own, |address| address.parse().unwrap()));
    }
}

#[tokio::test]
async fn a_header_from_elsewhere_ends_the_connection() {
    // SA-213
    let Fixture { tls, client } = fixture().await;
    let log = capture();
    let (mut incoming, address) = listen(tls, behind("10.0.0.0/8")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n").await.unwrap();
    assert!(!matches!(stream.read(&mut [0]).await, Ok(1..)));
    let line = log.find("Connection refused during the handshake").unwrap();
    assert!(line.field("error").contains("proxy_protocol_trusted_cidrs"));
    // Without a header they are welcome.
    let _client = client.connect(TcpStream::connect(address).await.unwrap(), "localhost").await.unwrap();
    incoming.next().await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_stream_stops_listening() {
    let Fixture { tls, .. } = fixture().await;
    let (incoming, address) = listen(tls, IncomingOptions::default()).await;
    drop(incoming);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
