//! A daemon for tests: answers on a UNIX socket what it is told to, and remembers what it was asked.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::UnixListener;

pub type Answer = Response<Full<Bytes>>;

pub struct FakeDaemon {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeDaemon {
    /// `answer` gets the method and the path, as in `GET /_ping`.
    pub fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("d.sock")).unwrap();
        let (asked, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let (log, count, answer) = (asked.clone(), connections.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (log, answer) = (log.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let line = format!("{} {}", request.method(), request.uri());
                    let reply = answer(&line);
                    log.lock().push(line);
                    async move { Ok::<_, Infallible>(reply) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { folder, asked, connections, task }
    }

    /// One that knows a container and perhaps its image, and speaks version 1.41.
    pub fn with(container: serde_json::Value, image: Option<serde_json::Value>) -> Self {
        Self::start(move |line| match line {
            "HEAD /_ping" => version("1.41"),
            _ if line.starts_with("GET /v1.41/containers/") => json(200, &container),
            _ if line.starts_with("GET /v1.41/images/") => match &image {
                Some(image) => json(200, image),
                None => json(404, &serde_json::json!({ "message": "No such image" })),
            },
            _ => json(400, &serde_json::json!({ "message": format!("unexpected {line}") })),
        })
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("d.sock")
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn json(status: u16, body: &serde_json::Value) -> Answer {
    text(status, "application/json", &body.to_string())
}

pub fn text(status: u16, kind: &str, body: &str) -> Answer {
    let answer = Response::builder().status(status).header("content-type", kind);
    answer.body(Bytes::from(body.to_owned()).into()).unwrap()
}

/// The answer to a ping.
pub fn version(text: &str) -> Answer {
    Response::builder().header("Api-Version", text).body(Full::default()).unwrap()
}
