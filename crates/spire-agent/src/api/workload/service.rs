//! The gRPC side of the Workload API: bytes in, bytes out, so that an answer is encoded once for all who get it.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message;
use spire_net::local::LocalPeer;
use spire_net::serve::{no_decompressor, reworded, undecodable, unknown_method};
use spire_proto::workload::{JwtsvidRequest, ValidateJwtsvidRequest, X509svidRequest};
use tonic::body::Body;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder};
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::server::NamedService;
use tonic::{Status, Streaming};

use super::{Fetch, WorkloadApi};
use crate::cache::framed;

const PREFIX: &str = "/SpiffeWorkloadAPI/";
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
        Ok(Method::FetchJwtSvid) => Box::pin(async move {
            let answer = fetch_jwt_svid(api, request).await;
            Ok(answer.unwrap_or_else(Status::into_http))
        }),
        Ok(Method::ValidateJwtSvid) => Box::pin(async move {
            let answer = validate_jwt_svid(api, request).await;
            Ok(answer.unwrap_or_else(Status::into_http))
        }),
        Ok(Method::Unimplemented(text)) => Box::pin(ready(Ok(Status::unimplemented(text).into_http()))),
        Err(status) => Box::pin(ready(Ok(status.into_http()))),
    }
}

/// In the order in which gRPC for Go finds out.
fn method(request: &http::Request<Body>) -> Result<Method, Status> {
    let path = request.uri().path();
    let method = path.strip_prefix(PREFIX).and_then(Method::named);
    let method = method.ok_or_else(|| unknown_method(path, |service| service == WorkloadService::NAME))?;
    not_compressed(request.headers())?;
    if !has_security_header(request.headers()) {
        return Err(Status::invalid_argument("security header missing from request"));
    }
    Ok(method)
}

async fn fetch_jwt_svid(
    api: Arc<WorkloadApi>,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    let (peer, message) = received(request).await?;
    let message: JwtsvidRequest = decoded(message, "error unmarshalling request")?;
    let answer = api.fetch_jwt_svid(peer.as_ref(), message).await?;
    Ok(single(&answer))
}

async fn validate_jwt_svid(
    api: Arc<WorkloadApi>,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    let (peer, message) = received(request).await?;
    let message: ValidateJwtsvidRequest = decoded(message, "error unmarshalling request")?;
    let answer = api.validate_jwt_svid(peer.as_ref(), message).await?;
    Ok(single(&answer))
}

/// What `Grpc::server_streaming` does, but its body copies each answer into a buffer that it keeps.
async fn stream(
    api: Arc<WorkloadApi>,
    fetch: Fetch,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    let (peer, message) = received(request).await?;
    nothing(message)?;
    Ok(response(api.watch(fetch, peer).await?))
}

fn not_compressed(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get("grpc-encoding") {
        Some(encoding) if encoding != "identity" && !encoding.is_empty() => {
            Err(no_decompressor(&String::from_utf8_lossy(encoding.as_bytes())))
        }
        _ => Ok(()),
    }
}

/// Who calls, and the message.
async fn received(request: http::Request<Body>) -> Result<(Option<LocalPeer>, Bytes), Status> {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.remove::<LocalPeer>();
    // A caller may have to wait for long.
    drop(parts);
    Ok((peer, read(body).await?))
}

/// The only message of a request; it has to be there.
async fn read(body: Body) -> Result<Bytes, Status> {
    let mut messages = Streaming::new_request(Raw, body, None, None);
    let message = messages.message().await.map_err(reworded)?;
    let message = message.ok_or_else(|| Status::internal("Missing request message."))?;
    // To the end, as tonic does.
    messages.trailers().await?;
    Ok(message)
}

/// Requests for streams have no fields; what a caller sends all the same must at least look like fields.
fn nothing(message: Bytes) -> Result<(), Status> {
    if message.is_empty() {
        return Ok(());
    }
    decoded::<X509svidRequest>(message, "failed to unmarshal the received message").map(|_| ())
}

fn single(answer: &impl Message) -> http::Response<Body> {
    response(futures::stream::iter([Ok(Bytes::from(framed(answer))), Err(Status::ok(""))]))
}

fn response(answers: impl Stream<Item = Result<Bytes, Status>> + Send + 'static) -> http::Response<Body> {
    let mut response = http::Response::new(body(answers));
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
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

/// `failed` is how gRPC for Go calls the step.
fn decoded<M: Message + Default>(bytes: Bytes, failed: &str) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| Status::internal(format!("grpc: {failed}: {}", undecodable(&error))))
}

/// Exactly one value, exactly `true` (AG-453).
fn has_security_header(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(SECURITY_HEADER).iter();
    matches!((values.next(), values.next()), (Some(value), None) if value == "true")
}

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy)]
struct Raw;

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
    use tonic::Code;

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

    fn request(path: &str, body: &'static [u8]) -> http::Request<Body> {
        let body = Body::new(Full::new(Bytes::from_static(body)));
        http::Request::post(path).header(SECURITY_HEADER, "true").body(body).unwrap()
    }

    #[tokio::test]
    async fn an_answer_to_a_single_request_is_one_message_and_success() {
        let answer = JwtsvidRequest { spiffe_id: "spiffe://a/w".to_owned(), ..JwtsvidRequest::default() };
        let mut response = single(&answer);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
        let data = next(response.body_mut()).await.unwrap().into_data().unwrap();
        assert_eq!(data[..5], [0, 0, 0, 0, u8::try_from(data.len() - 5).unwrap()]);
        assert_eq!(JwtsvidRequest::decode(&data[5..]).unwrap(), answer);
        let trailers = next(response.body_mut()).await.unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert!(next(response.body_mut()).await.is_none());
    }

    #[tokio::test]
    async fn a_request_for_a_stream_is_one_whole_message() {
        let garbage = "grpc: failed to unmarshal the received message: \
                       proto: cannot parse invalid wire-format data";
        for (body, refused) in [
            (&[0, 0, 0, 0, 0][..], None),
            // A field that a later version might have, and another message, at which nobody looks.
            (&[0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 0], None),
            (&[0, 0, 0, 0, 1, 7], Some((Code::Internal, garbage))),
            (&[], Some((Code::Internal, "Missing request message."))),
            (&[0, 0, 0], Some((Code::Internal, "Unexpected EOF decoding stream."))),
            (&[0, 0, 0, 0, 0, 0], Some((Code::Internal, "Unexpected EOF decoding stream."))),
            (
                &[1, 0, 0, 0, 0],
                Some((Code::Internal, "grpc: compressed flag set with identity or empty encoding")),
            ),
            (
                &[0, 0, 0x40, 0, 1],
                Some((
                    Code::ResourceExhausted,
                    "grpc: received message larger than max (4194305 vs. 4194304)",
                )),
            ),
        ] {
            let read = received(request("/SpiffeWorkloadAPI/FetchX509SVID", body)).await;
            let read = read.and_then(|(_, message)| nothing(message)).err();
            let status = read.as_ref().map(|status| (status.code(), status.message()));
            assert_eq!(status, refused, "{body:?}");
        }
    }

    #[test]
    fn fields_that_are_none_are_refused_in_gos_words() {
        let status = |message: &'static [u8]| {
            let refused =
                decoded::<JwtsvidRequest>(Bytes::from_static(message), "error unmarshalling request");
            refused.unwrap_err().message().to_owned()
        };
        let failed = "grpc: error unmarshalling request: ";
        assert_eq!(status(&[7]), format!("{failed}proto: cannot parse invalid wire-format data"));
        assert_eq!(status(&[0x12, 1, 0xff]), format!("{failed}string field contains invalid UTF-8"));
    }

    #[test]
    fn what_cannot_be_served_is_refused_before_anything_else_is_looked_at() {
        for (path, encoding, expected) in [
            ("/SpiffeWorkloadAPI/FetchWITSVID", "identity", None),
            (
                "/SpiffeWorkloadAPI/FetchWITSVID",
                "gzip",
                Some("grpc: Decompressor is not installed for grpc-encoding \"gzip\""),
            ),
            ("/SpiffeWorkloadAPI/Nope", "gzip", Some("unknown method Nope for service SpiffeWorkloadAPI")),
            (
                "/SpiffeWorkloadAPI/FetchX509SVID/x",
                "gzip",
                Some("unknown service SpiffeWorkloadAPI/FetchX509SVID"),
            ),
        ] {
            let mut request = request(path, &[]);
            request.headers_mut().insert("grpc-encoding", encoding.parse().unwrap());
            let refused = method(&request).err();
            let refused = refused.as_ref().map(|status| (status.code(), status.message()));
            assert_eq!(refused, expected.map(|text| (Code::Unimplemented, text)), "{path} {encoding}");
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
