//! The client side (AG-232 to AG-235, CA-510 to CA-512).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, InvalidMessage};
use spire_crypto::x509::{Certificate, PeerError, verify_x509_svid};
use spire_runtime::SharedClock;
use spire_runtime::logging::{go_quote, os_error_text};
use spire_types::SpiffeId;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::failure::Failure;
use super::identity::{BundleSource, CertifiedKey, IdentitySource};
use super::policy::{ClockTime, TlsPolicy};
use super::signatures::{parse_chain, verify_signatures};

/// An established connection.
pub type ClientTlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// How the server proves who it is.
#[derive(Debug, Clone)]
pub enum ServerCheck {
    /// It must present an X509-SVID of exactly this ID, issued by its trust domain (AG-233).
    Svid { id: SpiffeId, bundles: Arc<dyn BundleSource> },
    /// It must say that it is this ID; nothing proves it. For insecure bootstrap only, with a warning each time
    /// (AG-235).
    Unproven { id: SpiffeId },
}

/// The TLS side of a client; looks everything up at each handshake.
#[derive(Debug, Clone)]
pub struct ClientTls {
    pub server: ServerCheck,
    /// `None` presents no certificate, as while attesting (AG-234).
    pub identity: Option<Arc<dyn IdentitySource>>,
    pub policy: TlsPolicy,
    pub clock: SharedClock,
}

/// The handshake failed; the text says why, in SPIRE's words if it is about the server's certificate.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct HandshakeError {
    pub reason: String,
}

impl ClientTls {
    /// Shakes hands on an open connection. `host` is only used to tell the server which name we dialed.
    pub async fn connect(&self, stream: TcpStream, host: &str) -> Result<ClientTlsStream, HandshakeError> {
        let failure = Failure::default();
        let failed = |reason: String| HandshakeError { reason };
        let (mut config, name) =
            (self.config(&failure).map_err(|error| failed(error.to_string()))?, name(host));
        config.enable_sni = matches!(name, ServerName::DnsName(_));
        let ends = Ends::of(&stream);
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = connecting.await.map_err(|error| failed(failure.or(ends.describe(&error))))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            // What Go's gRPC says of a server without HTTP/2.
            return Err(failed("credentials: cannot check peer: missing selected ALPN property".to_owned()));
        }
        Ok(stream)
    }

    /// Settings that believe any server of the expected name, for tests that shake hands themselves.
    #[cfg(test)]
    pub(super) fn config_for_tests(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let provider = self.policy.provider();
        let id = match &self.server {
            ServerCheck::Svid { id, .. } | ServerCheck::Unproven { id } => id.clone(),
        };
        let verifier = ServerVerifier {
            check: ServerCheck::Unproven { id },
            clock: self.clock.clone(),
            provider: provider.clone(),
            failure: Failure::default(),
        };
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth()
    }

    fn config(&self, failure: &Failure) -> Result<ClientConfig, rustls::Error> {
        let provider = self.policy.provider();
        let verifier = ServerVerifier {
            check: self.server.clone(),
            clock: self.clock.clone(),
            provider: provider.clone(),
            failure: failure.clone(),
        };
        let builder = ClientConfig::builder_with_details(provider, Arc::new(ClockTime(self.clock.clone())))
            .with_protocol_versions(self.policy.versions())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(Identity(identity.clone()))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// A host that is neither an address nor a legal DNS name is dialed all the same, but not named.
fn name(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned())
        .unwrap_or_else(|_| ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// The two ends of a connection, which Go names when it breaks.
struct Ends(Option<(SocketAddr, SocketAddr)>);

impl Ends {
    fn of(stream: &TcpStream) -> Self {
        Self(stream.local_addr().ok().zip(stream.peer_addr().ok()))
    }

    /// In the words of Go for what operators meet; else those of the TLS library, without `io::Error` around them.
    fn describe(&self, error: &io::Error) -> String {
        let inner = error.get_ref();
        if let Some(rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        )) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return "tls: first record does not look like a TLS handshake".to_owned();
        }
        match (&self.0, inner) {
            _ if error.kind() == io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
            (_, Some(inner)) => inner.to_string(),
            (Some((local, peer)), None) => {
                format!("read tcp {local}->{peer}: read: {}", os_error_text(error))
            }
            (None, None) => os_error_text(error),
        }
    }
}

#[derive(Debug)]
struct Identity(Arc<dyn IdentitySource>);

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.current()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

struct ServerVerifier {
    check: ServerCheck,
    clock: SharedClock,
    provider: Arc<CryptoProvider>,
    failure: Failure,
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerVerifier").field(&self.check).finish()
    }
}

impl ServerVerifier {
    fn verify(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), String> {
        match &self.check {
            ServerCheck::Svid { id, bundles } => {
                let chain = parse_chain(leaf, others)?;
                let roots = |trust_domain: &_| bundles.roots(trust_domain);
                let found = verify_x509_svid(&chain, roots, self.clock.now()).map_err(refused)?;
                if found == *id { Ok(()) } else { Err(format!("unexpected ID {:?}", found.to_string())) }
            }
            ServerCheck::Unproven { id } => {
                tracing::warn!(
                    subsystem_name = "attestor",
                    "Insecure bootstrap enabled; skipping server certificate verification"
                );
                let leaf = Certificate::parse(leaf).map_err(|error| error.to_string())?;
                let expected = id.to_string();
                match leaf.uri_sans() {
                    [only] if *only == expected => Ok(()),
                    others => Err(format!("expected server SPIFFE ID {expected:?}; got {}", go_list(others))),
                }
            }
        }
    }
}

/// A client has a bundle of its own for the server, of which Go speaks in other words.
fn refused(error: PeerError) -> String {
    match error {
        PeerError::NoBundle(trust_domain) => format!(
            "x509svid: could not get X509 bundle: x509bundle: no X.509 bundle found for trust domain: {}",
            go_quote(trust_domain.as_str())
        ),
        other => other.to_string(),
    }
}

/// `["a" "b"]`, as Go's `%q` prints a list.
fn go_list(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| go_quote(item)).collect();
    format!("[{}]", quoted.join(" "))
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.verify(end_entity, intermediates) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(reason) => Err(self.failure.refuse(reason)),
        }
    }

    verify_signatures!();
}
