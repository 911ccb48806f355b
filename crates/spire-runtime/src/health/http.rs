//! The HTTP side: two paths, any method, answers from memory.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::checks::{Checks, Report};
use crate::logging::os_error_text;
use crate::shutdown::Shutdown;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Probes are few; whoever opens more connections than this waits.
const MAX_CONNECTIONS: usize = 256;
/// Probe requests are tiny; the least that hyper accepts.
const BUFFER: usize = 8192;

/// The section `health_checks` (SC-150 to SC-154); empty texts mean the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthSettings {
    pub listener_enabled: bool,
    /// `localhost` by default; brackets around an IPv6 address are dropped.
    pub bind_address: String,
    /// `80` by default.
    pub bind_port: String,
    /// `/live` by default.
    pub live_path: String,
    /// `/ready` by default.
    pub ready_path: String,
}

/// Both paths are equal, so one of them could never be asked (SC-153).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamePath {
    #[error("health_checks: live_path and ready_path are both {0:?}; give them different paths")]
    Same(String),
    #[error("health_checks: path {0:?} does not start with \"/\"")]
    Relative(String),
}

impl HealthSettings {
    /// Host and port to listen on, as one text.
    pub fn address(&self) -> String {
        let host = or(&self.bind_address, "localhost").trim_matches(['[', ']']);
        let port = or(&self.bind_port, "80");
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    pub fn live_path(&self) -> &str {
        or(&self.live_path, "/live")
    }

    pub fn ready_path(&self) -> &str {
        or(&self.ready_path, "/ready")
    }

    /// Refuses paths that could not be served.
    pub fn check(&self) -> Result<(), SamePath> {
        for path in [self.live_path(), self.ready_path()] {
            if !path.starts_with('/') {
                return Err(SamePath::Relative(path.to_owned()));
            }
        }
        if self.live_path() == self.ready_path() {
            return Err(SamePath::Same(self.live_path().to_owned()));
        }
        Ok(())
    }
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

/// Runs the probes and, if enabled, the listener, until `shutdown`.
///
/// A listener that cannot bind is only a warning; the probes go on (SC-157).
pub async fn serve(settings: HealthSettings, checks: Checks, shutdown: Shutdown) {
    if settings.listener_enabled {
        tokio::join!(checks.run(shutdown.clone()), listen(Arc::new(settings), &checks, &shutdown));
    } else {
        checks.run(shutdown).await;
    }
}

async fn listen(settings: Arc<HealthSettings>, checks: &Checks, shutdown: &Shutdown) {
    let address = settings.address();
    tracing::info!(subsystem_name = "health", address, "Serving health checks");
    let bound = match settings.check() {
        Ok(()) => bind(&address).await,
        Err(error) => Err(error.to_string()),
    };
    match bound {
        Ok(listener) => accept(listener, settings, checks, shutdown).await,
        Err(error) => tracing::warn!(subsystem_name = "health", error, "Error serving health checks"),
    }
}

/// The first address of the host, IPv4 before IPv6, as Go listens.
async fn bind(address: &str) -> Result<TcpListener, String> {
    let found = lookup_host(address).await;
    let found = found.map_err(|error| format!("listen tcp: lookup {address}: {}", os_error_text(&error)))?;
    let first = found.min_by_key(SocketAddr::is_ipv6);
    let first = first.ok_or_else(|| format!("listen tcp: lookup {address}: no such host"))?;
    TcpListener::bind(first)
        .await
        .map_err(|error| format!("listen tcp {first}: bind: {}", os_error_text(&error)))
}

pub(super) async fn accept(
    listener: TcpListener,
    settings: Arc<HealthSettings>,
    checks: &Checks,
    shutdown: &Shutdown,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let stopped = shutdown.child();
    while let Some(Ok(permit)) = shutdown.unless_cancelled(permits.clone().acquire_owned()).await {
        match shutdown.unless_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => {
                let (settings, checks, stopped) = (settings.clone(), checks.clone(), stopped.clone());
                connections.spawn(async move {
                    stopped.unless_cancelled(connection(stream, settings, checks)).await;
                    drop(permit);
                });
            }
            // Out of file descriptors or the like: try again, but not in a tight loop.
            Some(Err(error)) => {
                tracing::debug!(subsystem_name = "health", %error, "Failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, settings: Arc<HealthSettings>, checks: Checks) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.uri().path(), &settings, &checks);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::trace!(subsystem_name = "health", %error, "Connection ended with an error");
    }
}

fn answer(path: &str, settings: &HealthSettings, checks: &Checks) -> Response<Full<Bytes>> {
    if matches(settings.live_path(), path) {
        json(checks.live())
    } else if matches(settings.ready_path(), path) {
        json(checks.ready())
    } else {
        let mut response = Response::new(Full::from("404 page not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// A configured path that ends in a slash stands for everything below it, as in Go.
fn matches(configured: &str, asked: &str) -> bool {
    asked == configured || (configured.ends_with('/') && asked.starts_with(configured))
}

fn json(report: Report) -> Response<Full<Bytes>> {
    let mut body = serde_json::json!(report.details).to_string();
    body.push('\n');
    let mut response = Response::new(Full::from(body));
    if !report.healthy {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
