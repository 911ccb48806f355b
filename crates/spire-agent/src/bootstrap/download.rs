//! Fetching a trust bundle over HTTP (AG-213, AG-214).

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::open_end::OpenEnd;

/// As many as Go follows.
const MAX_REDIRECTS: usize = 10;
/// No bundle is larger; a server that never stops must not fill the memory.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Gets the document at `url`, which errors call `shown`; over the socket if there is one.
pub(super) async fn download(url: &Url, shown: &str, unix_socket: Option<&Path>) -> Result<Bytes, String> {
    let mut at = url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let failed = |error: String| format!("unable to fetch trust bundle URL {shown}: {error}");
        let response = get(&at, unix_socket).await.map_err(|error| {
            let step = if at == *url { shown } else { at.as_str() };
            failed(format!("Get {step:?}: {error}"))
        })?;
        if let Some(next) = redirect(&at, &response) {
            at = next.map_err(failed)?;
            continue;
        }
        if response.status() != StatusCode::OK {
            return Err(format!("error downloading trust bundle: {}", status_line(&response)));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        return body
            .map(http_body_util::Collected::to_bytes)
            .map_err(|error| format!("unable to read from trust bundle URL {shown}: {}", cut_off(&*error)));
    }
    Err(format!("unable to fetch trust bundle URL {shown}: stopped after {MAX_REDIRECTS} redirects"))
}

/// With the reason that the server gave, which is kept only if it is not the usual one.
fn status_line(response: &Response<Incoming>) -> String {
    let status = response.status();
    let reason = match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()),
        None => status.canonical_reason().unwrap_or_default().into(),
    };
    format!("{} {reason}", status.as_u16())
}

/// Why a body cannot be read; in Go's words if the server hung up before its end.
fn cut_off(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return "unexpected EOF".to_owned();
        }
        cause = error.source();
    }
    spire_runtime::Chain(error).to_string()
}

fn redirect(at: &Url, response: &Response<Incoming>) -> Option<Result<Url, String>> {
    if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    Some(at.join(location).map_err(|error| format!("failed to parse Location header {location:?}: {error}")))
}

async fn get(url: &Url, unix_socket: Option<&Path>) -> Result<Response<Incoming>, String> {
    let host = url.host_str().ok_or_else(|| "no Host in request URL".to_owned())?;
    if let Some(path) = unix_socket {
        let stream = UnixStream::connect(path).await.map_err(|error| {
            let reason = spire_runtime::logging::os_error_text(&error);
            format!("dial unix {}: connect: {reason}", path.display())
        })?;
        return request(stream, url).await;
    }
    let port = url.port_or_known_default().unwrap_or(443);
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = spire_net::channel::stream(&name, port).await?;
    match url.scheme() {
        "https" => {
            let server = ServerName::try_from(name).map_err(|error| error.to_string())?;
            let connector = TlsConnector::from(Arc::new(system_trust()?));
            let stream = connector.connect(server, stream).await.map_err(|error| format!("tls: {error}"))?;
            request(OpenEnd(stream), url).await
        }
        // A redirect must not lead out of TLS.
        scheme => Err(format!("unsupported protocol scheme {scheme:?}; only https is allowed")),
    }
}

async fn request<S>(stream: S, url: &Url) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let text = |error: hyper::Error| {
        if error.is_incomplete_message() {
            "EOF".to_owned()
        } else {
            spire_runtime::Chain(&error).to_string()
        }
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    // Ends with the response: when the body was read or dropped.
    tokio::spawn(connection);
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::get(target)
        .header(HOST, authority)
        .header(USER_AGENT, "spire-agent")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    sender.send_request(request).await.map_err(text)
}

/// Believes whom the machine believes.
fn system_trust() -> Result<ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    /// Answers each connection with the next text, and remembers what was asked.
    async fn serve(listener: UnixListener, answers: Vec<&'static str>) -> Vec<String> {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            asked.push(String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap().to_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    }

    #[tokio::test]
    async fn a_socket_serves_the_bundle_after_redirects() {
        // AG-213, AG-214
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(serve(
            listener,
            vec![
                "HTTP/1.1 302 Found\r\nLocation: /b?x=1\r\nContent-Length: 0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                "HTTP/1.1 404 Nope Nope\r\nContent-Length: 0\r\n\r\n",
            ],
        ));
        let url = Url::parse("http://bundle.test/a").unwrap();
        assert_eq!(download(&url, url.as_str(), Some(&path)).await.unwrap(), "hello");
        let error = download(&url, url.as_str(), Some(&path)).await.unwrap_err();
        assert_eq!(error, "error downloading trust bundle: 404 Not Found");
        let error = download(&url, url.as_str(), Some(&path)).await.unwrap_err();
        assert_eq!(error, "error downloading trust bundle: 404 Nope Nope");
        let asked = server.await.unwrap();
        assert_eq!(asked, ["GET /a HTTP/1.1", "GET /b?x=1 HTTP/1.1", "GET /a HTTP/1.1", "GET /a HTTP/1.1"]);
    }

    #[tokio::test]
    async fn only_a_body_without_a_length_may_end_by_hanging_up() {
        // Half a bundle must not pass for a whole one.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (url, shown) = (Url::parse("http://bundle.test/a").unwrap(), "http://bundle.test/a");
        let cases = [
            ("HTTP/1.0 200 OK\r\n\r\nhello", Ok("hello")),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
                Err("unable to read from trust bundle URL http://bundle.test/a: unexpected EOF"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                Err("unable to read from trust bundle URL http://bundle.test/a: unexpected EOF"),
            ),
            (
                "",
                Err(
                    "unable to fetch trust bundle URL http://bundle.test/a: Get \"http://bundle.test/a\": EOF",
                ),
            ),
        ];
        let server = tokio::spawn(serve(listener, cases.iter().map(|(answer, _)| *answer).collect()));
        for (answer, expected) in cases {
            let got = download(&url, shown, Some(&path)).await;
            let got = got.as_ref().map(|body| str::from_utf8(body).unwrap()).map_err(String::as_str);
            assert_eq!(got, expected, "{answer}");
        }
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_missing_socket_is_named() {
        let url = Url::parse("http://bundle.test/a").unwrap();
        let error = download(&url, url.as_str(), Some(Path::new("/nonexistent/x.sock"))).await.unwrap_err();
        assert!(error.contains("http://bundle.test/a") && error.contains("/nonexistent/x.sock"), "{error}");
    }
}
