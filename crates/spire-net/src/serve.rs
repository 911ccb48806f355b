//! Serving gRPC: one task for each connection, in which its calls run as well.
//!
//! A task for each call, as servers usually do it, has one thread answer while another one is woken to write what is
//! there so far: three writes and as many wake-ups where one would do. What computes for long belongs into a task of
//! its own, which the handler has to see to.

mod calls;
mod cork;
mod deadline;
mod refusal;
mod turns;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::task::Context;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use spire_runtime::{Chain, Random as _, SystemRandom};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::server::Connected;
use tower::Service;
use tower::util::Oneshot;

use cork::Cork;
use deadline::WithDeadline;
pub use deadline::deadline;
pub use refusal::{no_decompressor, reworded, reworded_response, undecodable, unknown_method};
use turns::Turns;

/// Calls of one connection at a time; clients keep more of them waiting.
const MAX_CALLS: u32 = 1000;
/// How long a client has to go that was asked to and has no call under way.
const PARTING: Duration = Duration::from_secs(10);

/// How connections are treated.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Older connections are asked to be made anew, each at a time of its own within a tenth of it, so that they do
    /// not all come back at once.
    pub max_connection_age: Option<Duration>,
    /// Bytes of header fields that a client may have us remember; `None` is the 4096 of HTTP/2.
    pub header_table_size: Option<u32>,
}

/// Serves every connection until `stop`; then none is accepted any more, the calls under way are finished, and it
/// ends. Dropping it ends all calls at once.
pub async fn serve<I, IO, S>(service: S, incoming: I, options: ServeOptions, stop: impl Future<Output = ()>)
where
    I: Stream<Item = io::Result<IO>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let stopping = CancellationToken::new();
    let mut connections = JoinSet::new();
    {
        let (mut incoming, mut stop) = (pin!(incoming), pin!(stop));
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = incoming.next() => match accepted {
                    Some(Ok(stream)) => {
                        let served = Served { service: service.clone(), peer: stream.connect_info() };
                        connections.spawn(connection(stream, served, options.clone(), stopping.clone()));
                    }
                    Some(Err(error)) => tracing::debug!(%error, "A connection was not accepted"),
                    None => break,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
    stopping.cancel();
    while connections.join_next().await.is_some() {}
}

/// What answers the calls of a connection.
struct Served<S, P> {
    service: S,
    /// Put into the extensions of each request.
    peer: P,
}

impl<S, P> hyper::service::Service<Request<Incoming>> for Served<S, P>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
    P: Clone + Send + Sync + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = WithDeadline<Oneshot<S, Request<Body>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer.clone());
        let deadline = deadline(request.headers());
        WithDeadline::new(Oneshot::new(self.service.clone(), request), deadline)
    }
}

/// Serves one connection to its end, and asks the client to make a new one when it is time.
async fn connection<IO, S, P>(
    stream: IO,
    served: Served<S, P>,
    options: ServeOptions,
    stopping: CancellationToken,
) where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    P: Clone + Send + Sync + 'static,
{
    let mut turns = Turns::new();
    let mut builder = http2::Builder::new(turns.arrivals());
    builder
        .auto_date_header(false)
        .header_table_size(options.header_table_size)
        .max_concurrent_streams(MAX_CALLS);
    let stream = Cork::new(stream);
    let drain = |context: &mut Context<'_>| stream.drain(context);
    let mut http = pin!(builder.serve_connection(TokioIo::new(stream.clone()), served));
    let ended = tokio::select! {
        biased;
        ended = turns.drive(http.as_mut(), drain) => Some(ended),
        () = stopping.cancelled() => None,
        () = grown_old(options.max_connection_age) => None,
    };
    if let Some(ended) = ended {
        return log_end(ended);
    }
    http.as_mut().graceful_shutdown();
    turns.nudge();
    // Calls may last; a client that has none and does not go, or never said a word, is left.
    loop {
        tokio::select! {
            biased;
            ended = turns.drive(http.as_mut(), drain) => return log_end(ended),
            () = tokio::time::sleep(PARTING) => {}
        }
        if turns.is_idle() {
            return;
        }
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::trace!(error = %Chain(&error), "A connection ended");
    }
}

async fn grown_old(age: Option<Duration>) {
    match age {
        Some(age) => tokio::time::sleep(age.mul_f64(SystemRandom.uniform(0.9, 1.1))).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
