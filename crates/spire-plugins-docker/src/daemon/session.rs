use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use spire_runtime::Chain;
use spire_runtime::logging::os_error_text;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::address::Endpoint;
use super::{ApiVersion, Container, ContainerAnswer, Daemon, DaemonError, ImageAnswer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No answer is nearly as large; a daemon that never stops must not fill the memory.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The name that Docker's own clients give to a daemon behind a socket.
const SOCKET_HOST: &str = "api.moby.localhost";

type Sender = SendRequest<Empty<Bytes>>;

/// A connection that is opened when it is needed, and again if the daemon has closed it.
#[derive(Debug)]
pub struct Session<'a> {
    daemon: &'a Daemon,
    sender: Option<Sender>,
}

impl<'a> Session<'a> {
    pub(super) fn new(daemon: &'a Daemon) -> Self {
        Self { daemon, sender: None }
    }

    /// How the container was started.
    pub async fn container(&mut self, id: &str) -> Result<Container, DaemonError> {
        let answer: ContainerAnswer = self.inspect(&format!("/containers/{}/json", escaped(id))).await?;
        answer.config.ok_or_else(|| DaemonError::NoConfig(id.to_owned()))
    }

    /// The digest of the configuration of the image that has this name now (PL-091, PL-092).
    pub async fn image_id(&mut self, name: &str) -> Result<Option<String>, DaemonError> {
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(DaemonError::ImageName(name.to_owned()));
        }
        let answer: ImageAnswer = self.inspect(&format!("/images/{}/json", escaped(name))).await?;
        Ok(answer.id.filter(|id| !id.is_empty()))
    }

    async fn inspect<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, DaemonError> {
        let target = format!("/v{}{path}", self.version().await);
        let answer = self.send(Method::GET, &target).await?;
        if answer.status().as_u16() >= 400 {
            return Err(self.refusal(&answer, &target));
        }
        Ok(serde_json::from_slice(answer.body())?)
    }

    /// The version to speak. A daemon that cannot be asked now is asked again the next time (PL-071).
    async fn version(&mut self) -> ApiVersion {
        if let Some(version) = self.daemon.version.get() {
            return *version;
        }
        match self.ping().await.as_deref().and_then(ApiVersion::agreed) {
            Some(version) => *self.daemon.version.get_or_init(|| version),
            None => ApiVersion::NEWEST,
        }
    }

    /// The newest version that the daemon has; empty if it does not say.
    async fn ping(&mut self) -> Option<String> {
        for method in [Method::HEAD, Method::GET] {
            if let Ok(answer) = self.send(method, "/_ping").await
                && answer.status() == StatusCode::OK
            {
                let version = answer.headers().get("api-version");
                return Some(version.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned());
            }
        }
        None
    }

    async fn send(&mut self, method: Method, target: &str) -> Result<Response<Bytes>, DaemonError> {
        if let Some(mut sender) = self.sender.take() {
            // A daemon may close a connection between two questions; then a new one is as good.
            if let Ok(answer) = self.exchange(&mut sender, &method, target).await {
                self.sender = Some(sender);
                return Ok(answer);
            }
        }
        let mut sender = self.connect(target).await?;
        let answer = self.exchange(&mut sender, &method, target).await;
        let answer = answer.map_err(|reason| self.broken(target, reason))?;
        self.sender = Some(sender);
        Ok(answer)
    }

    async fn exchange(
        &self,
        sender: &mut Sender,
        method: &Method,
        target: &str,
    ) -> Result<Response<Bytes>, String> {
        let (host, base) = match &self.daemon.address.endpoint {
            Endpoint::Unix(_) => (SOCKET_HOST, ""),
            Endpoint::Tcp { authority, base } => (authority.as_str(), base.as_str()),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}{target}"))
            .header(HOST, host)
            .header(USER_AGENT, "spire-agent")
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let text = |error: hyper::Error| Chain(&error).to_string();
        sender.ready().await.map_err(text)?;
        let (parts, body) = sender.send_request(request).await.map_err(text)?.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await.map_err(|error| error.to_string())?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    async fn connect(&self, target: &str) -> Result<Sender, DaemonError> {
        let endpoint = &self.daemon.address.endpoint;
        let connecting = async {
            match endpoint {
                Endpoint::Unix(path) => UnixStream::connect(socket(path)).await.map(Stream::Unix),
                Endpoint::Tcp { authority, .. } => TcpStream::connect(authority).await.map(Stream::Tcp),
            }
        };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let sender = match stream.map_err(|error| self.unreachable(&error))? {
            Stream::Unix(stream) => handshake(stream).await,
            Stream::Tcp(stream) => handshake(stream).await,
        };
        sender.map_err(|error| self.broken(target, Chain(&error).to_string()))
    }

    fn unreachable(&self, error: &io::Error) -> DaemonError {
        let address = self.daemon.address.to_string();
        let reason = os_error_text(error);
        match (&self.daemon.address.endpoint, error.kind()) {
            (_, io::ErrorKind::PermissionDenied) => DaemonError::Denied(address),
            (Endpoint::Unix(path), io::ErrorKind::NotFound) => {
                DaemonError::Missing { address, reason: format!("dial unix {path}: connect: {reason}") }
            }
            (Endpoint::Unix(_), _) | (_, io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut) => {
                DaemonError::Refused(address)
            }
            (Endpoint::Tcp { .. }, _) => DaemonError::Unreachable { address, reason },
        }
    }

    fn broken(&self, target: &str, reason: String) -> DaemonError {
        DaemonError::Broken { url: self.url(target), reason }
    }

    fn refusal(&self, answer: &Response<Bytes>, target: &str) -> DaemonError {
        #[derive(Deserialize)]
        struct Refusal {
            #[serde(default)]
            message: String,
        }
        let status = answer.status();
        let reason = status.canonical_reason().unwrap_or_default();
        if answer.body().is_empty() {
            let status = format!("{} {reason}", status.as_u16());
            return DaemonError::Bare { status, url: self.url(target) };
        }
        let json = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let text = if json {
            match serde_json::from_slice::<Refusal>(answer.body()) {
                Ok(refusal) if refusal.message.is_empty() => {
                    format!("API returned a {} ({reason}) but provided no error-message", status.as_u16())
                }
                Ok(refusal) => refusal.message,
                Err(error) => return error.into(),
            }
        } else {
            String::from_utf8_lossy(answer.body()).into_owned()
        };
        DaemonError::Answered(text.trim().to_owned())
    }

    /// As Go prints it: the path of a socket stands where the host does.
    fn url(&self, target: &str) -> String {
        match &self.daemon.address.endpoint {
            Endpoint::Unix(path) => format!("http://{}{target}", path.replace('/', "%2F")),
            Endpoint::Tcp { authority, base } => format!("http://{authority}{base}{target}"),
        }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

async fn handshake<S>(stream: S) -> hyper::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends when the sender is dropped, or with the daemon.
    tokio::spawn(connection);
    Ok(sender)
}

/// `@name` is a socket without a file.
fn socket(path: &str) -> String {
    path.strip_prefix('@').map_or_else(|| path.to_owned(), |name| format!("\0{name}"))
}

/// Percent-encodes what may not stand in the path of a URL.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
