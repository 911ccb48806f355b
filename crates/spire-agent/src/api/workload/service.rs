//! The gRPC side of the Workload API: bytes in, bytes out, so that an answer is encoded once for all who get it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures::future::BoxFuture;
use http::HeaderMap;
use prost::Message;
use spire_net::local::LocalPeer;
use spire_proto::workload::{JwtsvidRequest, ValidateJwtsvidRequest};
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status};
use tower::service_fn;

use super::{Fetch, WorkloadApi};

const SECURITY_HEADER: &str = "workload.spiffe.io";

/// Routes the calls of one service.
#[derive(Debug, Clone)]
pub struct WorkloadService(pub Arc<WorkloadApi>);

impl NamedService for WorkloadService {
    /// The proto has no package.
    const NAME: &'static str = "SpiffeWorkloadAPI";
}

impl tower::Service<http::Request<Body>> for WorkloadService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let api = self.0.clone();
        Box::pin(async move { Ok(route(api, request).await) })
    }
}

async fn route(api: Arc<WorkloadApi>, request: http::Request<Body>) -> http::Response<Body> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let known = matches!(
        method.as_str(),
        "FetchX509SVID"
            | "FetchX509Bundles"
            | "FetchJWTSVID"
            | "FetchJWTBundles"
            | "ValidateJWTSVID"
            | "FetchWITSVID"
            | "FetchWITBundles"
    );
    if !known {
        let text = format!("unknown method {method} for service SpiffeWorkloadAPI");
        return Status::unimplemented(text).into_http();
    }
    if !has_security_header(request.headers()) {
        return Status::invalid_argument("security header missing from request").into_http();
    }
    let mut grpc = Grpc::new(Raw);
    match method.as_str() {
        "FetchX509SVID" => grpc.server_streaming(streaming(api, Fetch::X509Svid), request).await,
        "FetchX509Bundles" => grpc.server_streaming(streaming(api, Fetch::X509Bundles), request).await,
        "FetchJWTBundles" => grpc.server_streaming(streaming(api, Fetch::JwtBundles), request).await,
        "FetchJWTSVID" => {
            let fetch = service_fn(move |request: Request<Bytes>| {
                let api = api.clone();
                async move {
                    let peer = peer(&request);
                    let message: JwtsvidRequest = decoded(request.into_inner())?;
                    let answer = api.fetch_jwt_svid(peer.as_ref(), message).await?;
                    Ok::<_, Status>(Response::new(Bytes::from(answer.encode_to_vec())))
                }
            });
            grpc.unary(fetch, request).await
        }
        "ValidateJWTSVID" => {
            let validate = service_fn(move |request: Request<Bytes>| {
                let api = api.clone();
                async move {
                    let peer = peer(&request);
                    let message: ValidateJwtsvidRequest = decoded(request.into_inner())?;
                    let answer = api.validate_jwt_svid(peer.as_ref(), message).await?;
                    Ok::<_, Status>(Response::new(Bytes::from(answer.encode_to_vec())))
                }
            });
            grpc.unary(validate, request).await
        }
        "FetchWITSVID" => Status::unimplemented("fetching WIT-SVIDs is not implemented").into_http(),
        _ => Status::unimplemented("fetching WIT bundles is not implemented").into_http(),
    }
}

fn streaming(
    api: Arc<WorkloadApi>,
    fetch: Fetch,
) -> impl tower::Service<
    Request<Bytes>,
    Response = Response<super::streams::Answers>,
    Error = Status,
    Future = BoxFuture<'static, Result<Response<super::streams::Answers>, Status>>,
> {
    service_fn(move |request: Request<Bytes>| -> BoxFuture<'static, Result<Response<_>, Status>> {
        let api = api.clone();
        Box::pin(async move { Ok(Response::new(api.watch(fetch, peer(&request)).await?)) })
    })
}

fn peer(request: &Request<Bytes>) -> Option<LocalPeer> {
    request.extensions().get::<LocalPeer>().cloned()
}

fn decoded<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes)
        .map_err(|error| Status::new(Code::Internal, format!("grpc: error unmarshalling request: {error}")))
}

/// Exactly one value, exactly `true` (AG-453).
fn has_security_header(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(SECURITY_HEADER).iter();
    matches!((values.next(), values.next()), (Some(value), None) if value == "true")
}

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }

    /// A stream keeps its buffer from the start; most send little.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(256, 32 * 1024)
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_security_header_must_be_there_once_and_exactly() {
        // AG-453, CA-434: it keeps browsers and proxies from being tricked into asking.
        for (values, allowed) in [
            (&["true"][..], true),
            (&[], false),
            (&["True"], false),
            (&["true", "true"], false),
            (&["true ,"], false),
            (&[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SECURITY_HEADER, value.parse().unwrap());
            }
            assert_eq!(has_security_header(&headers), allowed, "{values:?}");
        }
    }
}
