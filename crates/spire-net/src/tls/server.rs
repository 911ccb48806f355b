//! The server side (SA-206 to SA-209, CA-504 to CA-506).

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::{DistinguishedName, ServerConfig};
use spire_crypto::x509::{Certificate, verify_x509_svid};
use spire_runtime::SharedClock;
use spire_types::SpiffeId;

use super::failure::Failure;
use super::identity::{BundleSource, CertifiedKey, IdentitySource};
use super::policy::{ClockTime, TlsPolicy};
use super::signatures::{parse_chain, verify_signatures};

/// Decides whether a verified ID may connect; the text says why not.
pub type Authorizer = Arc<dyn Fn(&SpiffeId) -> Result<(), String> + Send + Sync>;

/// How clients are authenticated.
#[derive(Clone)]
pub struct ClientAuth {
    pub bundles: Arc<dyn BundleSource>,
    pub authorize: Authorizer,
    /// Whether a client without certificate is refused; the server API lets it in unauthenticated (SA-207).
    pub mandatory: bool,
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuth")
            .field("bundles", &self.bundles)
            .field("mandatory", &self.mandatory)
            .finish()
    }
}

/// What a listener presents and asks for.
#[derive(Debug, Clone)]
pub struct ServerTlsOptions {
    pub identity: Arc<dyn IdentitySource>,
    /// `None` asks for no certificate.
    pub clients: Option<ClientAuth>,
    /// Protocols in order of preference. A client that offers none of them completes the handshake and is then
    /// disconnected, as with upstream.
    pub alpn: Vec<&'static [u8]>,
    pub policy: TlsPolicy,
    pub clock: SharedClock,
}

/// The TLS side of a listener; makes the settings of each connection.
#[derive(Debug)]
pub struct ServerTls {
    options: ServerTlsOptions,
    provider: Arc<CryptoProvider>,
}

/// A client that has proven to be what its X509-SVID says. Only the check makes one.
#[derive(Debug, Clone)]
pub struct VerifiedPeer {
    id: SpiffeId,
    chain: Arc<[Certificate]>,
}

impl VerifiedPeer {
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// As presented, leaf first.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }
}

/// The settings of one handshake, and what comes out of it.
#[derive(Debug)]
pub struct Connection {
    pub config: Arc<ServerConfig>,
    peer: Arc<OnceLock<VerifiedPeer>>,
    failure: Failure,
}

impl Connection {
    /// The client, if it presented a certificate; valid after the handshake.
    pub fn peer(&self) -> Option<VerifiedPeer> {
        self.peer.get().cloned()
    }

    /// Why the handshake failed: our reason if we refused the client, else that of the TLS library.
    pub fn failure(&self, error: &dyn fmt::Display) -> String {
        self.failure.or(error)
    }
}

impl ServerTls {
    /// Fails only if the cryptographic library lacks what the policy asks for.
    pub fn new(options: ServerTlsOptions) -> Result<Self, rustls::Error> {
        let provider = options.policy.provider();
        let tls = Self { options, provider };
        tls.config(WebPkiClientVerifier::no_client_auth())?;
        Ok(tls)
    }

    /// The settings for one connection, given the protocols its client offers (`None`: it speaks no ALPN).
    pub fn connection<'a>(
        &self,
        offered: Option<impl Iterator<Item = &'a [u8]>>,
    ) -> Result<Connection, rustls::Error> {
        let (peer, failure) = (Arc::<OnceLock<VerifiedPeer>>::default(), Failure::default());
        let verifier: Arc<dyn ClientCertVerifier> = match &self.options.clients {
            Some(clients) => Arc::new(SvidVerifier {
                clients: clients.clone(),
                clock: self.options.clock.clone(),
                provider: self.provider.clone(),
                peer: peer.clone(),
                failure: failure.clone(),
            }),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = self.config(verifier)?;
        let served = |protocol: &[u8]| self.options.alpn.contains(&protocol);
        if offered.is_some_and(|mut offered| offered.any(served)) {
            config.alpn_protocols = self.options.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        }
        Ok(Connection { config: Arc::new(config), peer, failure })
    }

    fn config(&self, verifier: Arc<dyn ClientCertVerifier>) -> Result<ServerConfig, rustls::Error> {
        let time = Arc::new(ClockTime(self.options.clock.clone()));
        let mut config = ServerConfig::builder_with_details(self.provider.clone(), time)
            .with_protocol_versions(self.options.policy.versions())?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Identity(self.options.identity.clone())));
        // Each connection is verified anew (SA-206): no session is ever resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // As Go: the server chooses.
        config.ignore_client_order = true;
        Ok(config)
    }

    /// Whether the negotiated protocol is one that this listener speaks; none is the way of older HTTP clients.
    pub fn speaks(&self, negotiated: Option<&[u8]>) -> bool {
        let protocol = negotiated.unwrap_or(b"http/1.1");
        self.options.alpn.is_empty() || self.options.alpn.contains(&protocol)
    }
}

#[derive(Debug)]
struct Identity(Arc<dyn IdentitySource>);

impl ResolvesServerCert for Identity {
    /// Whatever the name the client asks for (SA-206).
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.current()
    }
}

struct SvidVerifier {
    clients: ClientAuth,
    clock: SharedClock,
    provider: Arc<CryptoProvider>,
    peer: Arc<OnceLock<VerifiedPeer>>,
    failure: Failure,
}

impl fmt::Debug for SvidVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SvidVerifier").field(&self.clients).finish()
    }
}

impl SvidVerifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<VerifiedPeer, String> {
        let chain = parse_chain(leaf, others)?;
        let roots = |trust_domain: &_| self.clients.bundles.roots(trust_domain);
        let id = verify_x509_svid(&chain, roots, self.clock.now()).map_err(|error| error.to_string())?;
        (self.clients.authorize)(&id)?;
        Ok(VerifiedPeer { id, chain: chain.into() })
    }
}

impl ClientCertVerifier for SvidVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.clients.mandatory
    }

    /// No hints: clients of any trust domain may have something to present (CA-504).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.verify(end_entity, intermediates) {
            Ok(peer) => {
                // Set once per connection: there is no renegotiation.
                let _ = self.peer.set(peer);
                Ok(ClientCertVerified::assertion())
            }
            Err(reason) => Err(self.failure.refuse(reason)),
        }
    }

    verify_signatures!();
}
