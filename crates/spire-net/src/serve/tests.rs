use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2 as client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::{Semaphore, mpsc};
use tower::service_fn;

use super::*;

/// Counts how often something was written.
struct Counted {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl Connected for Counted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer("somebody")
    }
}

#[derive(Clone)]
struct Peer(&'static str);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

type Client = client::SendRequest<Full<Bytes>>;

/// A server whose connections are handed to it, and whose calls wait for `gate`.
struct Fixture {
    connections: mpsc::UnboundedSender<io::Result<Counted>>,
    writes: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

impl Fixture {
    fn new(options: ServeOptions) -> Self {
        let (connections, accepted) = mpsc::unbounded_channel();
        let incoming = tokio_stream::wrappers::UnboundedReceiverStream::new(accepted);
        let (gate, stop) = (Arc::new(Semaphore::new(0)), CancellationToken::new());
        let (passing, stopped) = (gate.clone(), stop.clone());
        let service = service_fn(move |request: Request<Body>| {
            let gate = passing.clone();
            async move {
                let request_path = request.uri().path().to_owned();
                if request_path == "/slow" {
                    gate.acquire().await.unwrap().forget();
                }
                let peer = request.extensions().get::<Peer>().unwrap().0;
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut answer = format!("{peer} sent {} bytes", body.len());
                if request_path == "/long" {
                    answer.push_str(&".".repeat(10_000));
                }
                Ok::<_, Infallible>(Response::new(Body::new(Full::new(Bytes::from(answer)))))
            }
        });
        let server =
            tokio::spawn(serve(service, incoming, options, async move { stopped.cancelled().await }));
        Self { connections, writes: Arc::default(), gate, stop, server }
    }

    async fn connect(&self) -> Client {
        let (ours, theirs) = duplex(64 * 1024);
        let _ = self.connections.send(Ok(Counted { stream: ours, writes: self.writes.clone() }));
        let (sender, connection) =
            client::handshake(TokioExecutor::new(), TokioIo::new(theirs)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

async fn ask(client: &mut Client, path: &str) -> hyper::Result<String> {
    let request =
        Request::post(format!("http://x{path}")).body(Full::new(Bytes::from_static(b"abc"))).unwrap();
    let answer = client.send_request(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(answer.to_vec()).unwrap())
}

#[tokio::test]
async fn an_answer_with_all_that_belongs_to_it_is_one_write() {
    // Each write wakes the client, and is a packet and a record of TLS.
    let server = Fixture::new(ServeOptions::default());
    let mut client = server.connect().await;
    assert_eq!(ask(&mut client, "/").await.unwrap(), "somebody sent 3 bytes");
    let before = server.writes.load(Ordering::Relaxed);
    for _ in 0..10 {
        ask(&mut client, "/long").await.unwrap();
    }
    assert_eq!(server.writes.load(Ordering::Relaxed) - before, 10);
}

#[tokio::test]
async fn a_call_that_waits_holds_up_no_other_on_its_connection() {
    let server = Fixture::new(ServeOptions::default());
    let mut client = server.connect().await;
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { ask(&mut waiting, "/slow").await });
    for _ in 0..3 {
        ask(&mut client, "/").await.unwrap();
    }
    assert!(!waiting.is_finished());
    server.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "somebody sent 3 bytes");
}

#[tokio::test]
async fn stopping_finishes_what_was_begun_and_takes_nothing_new() {
    // SC-510
    let server = Fixture::new(ServeOptions::default());
    let mut client = server.connect().await;
    ask(&mut client, "/").await.unwrap();
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { ask(&mut waiting, "/slow").await });
    while server.writes.load(Ordering::Relaxed) == 0 || server.gate.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    server.stop.cancel();
    while ask(&mut client, "/").await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.server.is_finished());
    server.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "somebody sent 3 bytes");
    server.server.await.unwrap();
    assert!(server.connections.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_to_be_made_anew() {
    // SA-212
    let age = Duration::from_secs(180);
    let server = Fixture::new(ServeOptions { max_connection_age: Some(age), ..ServeOptions::default() });
    let mut client = server.connect().await;
    tokio::time::sleep(age.mul_f64(0.89)).await;
    ask(&mut client, "/").await.unwrap();
    tokio::time::sleep(age.mul_f64(0.22)).await;
    assert!(ask(&mut client, "/").await.is_err());
    ask(&mut server.connect().await, "/").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_says_a_word_does_not_stay() {
    let age = Duration::from_secs(180);
    let server = Fixture::new(ServeOptions { max_connection_age: Some(age), ..ServeOptions::default() });
    let (ours, mut theirs) = duplex(64 * 1024);
    let _ = server.connections.send(Ok(Counted { stream: ours, writes: server.writes.clone() }));
    let begun = tokio::time::Instant::now();
    let mut greeting = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut greeting).await.unwrap();
    assert!(begun.elapsed() < age.mul_f64(1.1) + PARTING + Duration::from_secs(1));
}
