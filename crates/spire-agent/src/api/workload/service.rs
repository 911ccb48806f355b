//! The gRPC side of the Workload API: bytes in, bytes out, so that an answer is encoded once for all who get it.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message;
use spire_net::local::LocalPeer;
use spire_proto::workload::{JwtsvidRequest, ValidateJwtsvidRequest};
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataValue};
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status, Streaming};
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
        route(self.0.clone(), request)
    }
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Stream(Fetch),
    FetchJwtSvid,
    ValidateJwtSvid,
    Unimplemented(&'static str),
}

impl Method {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "FetchX509SVID" => Self::Stream(Fetch::X509Svid),
            "FetchX509Bundles" => Self::Stream(Fetch::X509Bundles),
            "FetchJWTBundles" => Self::Stream(Fetch::JwtBundles),
            "FetchJWTSVID" => Self::FetchJwtSvid,
            "ValidateJWTSVID" => Self::ValidateJwtSvid,
            "FetchWITSVID" => Self::Unimplemented("fetching WIT-SVIDs is not implemented"),
            "FetchWITBundles" => Self::Unimplemented("fetching WIT bundles is not implemented"),
            _ => return None,
        })
    }
}

/// A future for each kind of call: one for all would be as large as the largest.
fn route(
    api: Arc<WorkloadApi>,
    request: http::Request<Body>,
) -> BoxFuture<'static, Result<http::Response<Body>, Infallible>> {
    match method(&request) {
        Ok(Method::Stream(fetch)) => Box::pin(async move {
            let answer = stream(api, fetch, request).await;
            Ok(answer.unwrap_or_else(Status::into_http))
        }),
        Ok(Method::FetchJwtSvid) => Box::pin(async move { Ok(fetch_jwt_svid(api, request).await) }),
        Ok(Method::ValidateJwtSvid) => Box::pin(async move { Ok(validate_jwt_svid(api, request).await) }),
        Ok(Method::Unimplemented(text)) => Box::pin(ready(Ok(Status::unimplemented(text).into_http()))),
        Err(status) => Box::pin(ready(Ok(status.into_http()))),
    }
}

fn method(request: &http::Request<Body>) -> Result<Method, Status> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    let method = Method::named(name).ok_or_else(|| {
        Status::unimplemented(format!("unknown method {name} for service SpiffeWorkloadAPI"))
    })?;
    if !has_security_header(request.headers()) {
        return Err(Status::invalid_argument("security header missing from request"));
    }
    Ok(method)
}

async fn fetch_jwt_svid(api: Arc<WorkloadApi>, request: http::Request<Body>) -> http::Response<Body> {
    let fetch = service_fn(move |request: Request<Bytes>| {
        let api = api.clone();
        async move {
            let peer = request.extensions().get::<LocalPeer>().cloned();
            let message: JwtsvidRequest = decoded(request.into_inner())?;
            let answer = api.fetch_jwt_svid(peer.as_ref(), message).await?;
            Ok::<_, Status>(Response::new(Bytes::from(answer.encode_to_vec())))
        }
    });
    Grpc::new(Raw).unary(fetch, request).await
}

async fn validate_jwt_svid(api: Arc<WorkloadApi>, request: http::Request<Body>) -> http::Response<Body> {
    let validate = service_fn(move |request: Request<Bytes>| {
        let api = api.clone();
        async move {
            let peer = request.extensions().get::<LocalPeer>().cloned();
            let message: ValidateJwtsvidRequest = decoded(request.into_inner())?;
            let answer = api.validate_jwt_svid(peer.as_ref(), message).await?;
            Ok::<_, Status>(Response::new(Bytes::from(answer.encode_to_vec())))
        }
    });
    Grpc::new(Raw).unary(validate, request).await
}

/// What `Grpc::server_streaming` does, but its body copies each answer into a buffer that it keeps.
async fn stream(
    api: Arc<WorkloadApi>,
    fetch: Fetch,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    let (mut parts, request) = request.into_parts();
    not_compressed(&parts.headers)?;
    let peer = parts.extensions.remove::<LocalPeer>();
    // A caller may have to wait for long.
    drop(parts);
    read(request).await?;
    let mut response = http::Response::new(body(api.watch(fetch, peer).await?));
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    Ok(response)
}

/// As tonic refuses what it cannot decompress.
fn not_compressed(headers: &HeaderMap) -> Result<(), Status> {
    let Some(encoding) = headers.get("grpc-encoding").filter(|value| *value != "identity") else {
        return Ok(());
    };
    let bytes = encoding.as_bytes();
    let name = str::from_utf8(bytes).map_or_else(|_| format!("{bytes:?}"), str::to_owned);
    let text = format!("Content is compressed with `{name}` which isn't supported");
    let mut status = Status::unimplemented(text);
    status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
    Err(status)
}

/// The request is a message without fields; it has to be there.
async fn read(body: Body) -> Result<(), Status> {
    let mut messages = Streaming::new_request(Raw, body, None, None);
    messages.message().await?.ok_or_else(|| Status::internal("Missing request message."))?;
    // To the end, as tonic does.
    messages.trailers().await?;
    Ok(())
}

/// `answers` are framed and go out as they are; a status ends them.
fn body(answers: impl Stream<Item = Result<Bytes, Status>> + Send + 'static) -> Body {
    Body::new(StreamBody::new(answers.map(frame)))
}

fn frame(answer: Result<Bytes, Status>) -> Result<Frame<Bytes>, Status> {
    match answer {
        Ok(answer) => Ok(Frame::data(answer)),
        Err(status) => {
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers)?;
            Ok(Frame::trailers(trailers))
        }
    }
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
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }

    /// Requests are short, those for streams empty.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(256, 32 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};
    use spire_proto::workload::JwtBundlesResponse;
    use spire_runtime::ManualClock;
    use spire_types::{Bundle, TrustDomain};

    use super::*;
    use crate::cache::{BundleSet, Cache};

    async fn next(body: &mut Body) -> Option<Frame<Bytes>> {
        body.frame().await.map(Result::unwrap)
    }

    #[tokio::test]
    async fn streams_send_the_same_memory_and_end_with_a_status() {
        let trust_domain = TrustDomain::from_name("example.org").unwrap();
        let bundles = Arc::new(BundleSet::new(Bundle::empty(trust_domain)).unwrap());
        let cache = Cache::new(bundles, 10, ManualClock::at_unix(0).shared());
        let mut sent = Vec::new();
        for _ in 0..2 {
            let answers = [Ok(cache.view(Vec::new()).jwt_bundles()), Err(Status::unavailable("so long"))];
            let mut body = body(futures::stream::iter(answers));
            sent.push(next(&mut body).await.unwrap().into_data().unwrap());
            let trailers = next(&mut body).await.unwrap().into_trailers().unwrap();
            assert_eq!(
                (&trailers["grpc-status"], &trailers["grpc-message"]),
                (&"14".parse().unwrap(), &"so%20long".parse().unwrap())
            );
            assert!(next(&mut body).await.is_none());
        }
        assert_eq!(sent[0].as_ptr(), sent[1].as_ptr());
        let (prefix, message) = sent[0].split_at(5);
        let length = u32::try_from(message.len()).unwrap();
        assert_eq!((prefix[0], &prefix[1..]), (0, &length.to_be_bytes()[..]));
        let message = JwtBundlesResponse::decode(message).unwrap();
        assert!(message.bundles.contains_key("spiffe://example.org"), "{message:?}");
    }

    #[tokio::test]
    async fn a_request_for_a_stream_is_one_whole_message() {
        for (request, refused) in [
            (&[0, 0, 0, 0, 0][..], None),
            (&[0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0], None),
            (&[], Some("Missing request message.")),
            (&[0, 0, 0], Some("Unexpected EOF decoding stream.")),
            (&[0, 0, 0, 0, 0, 0], Some("Unexpected EOF decoding stream.")),
            (
                &[1, 0, 0, 0, 0],
                Some(
                    "protocol error: received message with compressed-flag but no grpc-encoding was specified",
                ),
            ),
        ] {
            let read = read(Body::new(Full::new(Bytes::from_static(request)))).await;
            let status = read.err().map(|status| (status.code(), status.message().to_owned()));
            assert_eq!(status, refused.map(|text| (Code::Internal, text.to_owned())), "{request:?}");
        }
    }

    /// Our own way of reading a request must not be told from tonic's.
    #[tokio::test]
    async fn compressed_requests_are_refused_as_tonic_refuses_them() {
        for encoding in [&b"identity"[..], b"gzip", b"\xff"] {
            let mut request = http::Request::new(Body::new(Full::new(Bytes::from_static(&[0; 5]))));
            let value = http::HeaderValue::from_bytes(encoding).unwrap();
            request.headers_mut().insert("grpc-encoding", value);
            let ours =
                not_compressed(request.headers()).err().unwrap_or_else(|| Status::ok("")).into_http::<()>();
            let service = service_fn(|_: Request<Bytes>| ready(Err::<Response<Bytes>, _>(Status::ok(""))));
            let theirs = Grpc::new(Raw).unary(service, request).await;
            assert_eq!(ours.headers(), theirs.headers());
        }
    }

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
