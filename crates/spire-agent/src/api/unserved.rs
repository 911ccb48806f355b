//! Calls of what is not there, answered in the words of gRPC for Go; our library has none.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use spire_net::serve::{reworded_response, unknown_method};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

type Answer = Result<Response<Body>, Infallible>;

/// Answers whatever no service does.
#[derive(Debug, Clone)]
pub struct Unserved {
    services: Arc<[&'static str]>,
}

impl Unserved {
    /// `services` are there all the same: it was no method of theirs.
    pub fn beside(services: &[&'static str]) -> Self {
        Self { services: services.into() }
    }
}

impl<B> Service<Request<B>> for Unserved {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let status = unknown_method(request.uri().path(), |service| self.services.contains(&service));
        ready(Ok(status.into_http()))
    }
}

/// A generated service that refuses as gRPC for Go does.
#[derive(Debug, Clone)]
pub struct Worded<S> {
    service: S,
    methods: &'static [&'static str],
}

impl<S: NamedService> Worded<S> {
    /// `methods` are all that the service has.
    pub fn new(service: S, methods: &'static [&'static str]) -> Self {
        Self { service, methods }
    }

    fn refusal(&self, path: &str) -> Option<Status> {
        let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(S::NAME)?.strip_prefix('/'));
        match method {
            Some(method) if self.methods.contains(&method) => None,
            // In Go, one that the service has but does not do.
            Some("List") if S::NAME == "grpc.health.v1.Health" => {
                Some(Status::unimplemented("method List not implemented"))
            }
            _ => Some(unknown_method(path, |service| service == S::NAME)),
        }
    }
}

impl<S: NamedService> NamedService for Worded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Worded<S>
where
    S: NamedService + Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.refusal(request.uri().path()) {
            Some(status) => Box::pin(ready(Ok(status.into_http()))),
            None => Box::pin(self.service.call(request).map(|answer| answer.map(reworded_response))),
        }
    }
}
