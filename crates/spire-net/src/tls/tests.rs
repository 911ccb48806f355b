//! A certificate authority for tests, and both sides of a handshake against each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use spire_crypto::x509::{Certificate, CertificateTemplate, Issuer, Roots, Subject, Usage, sign_certificate};
use spire_crypto::{KeyType, PrivateKey};
use spire_runtime::{Clock, ManualClock, SharedClock};
use spire_types::{SpiffeId, TrustDomain};

use super::*;

pub(crate) const NOW: i64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct Authority {
    pub trust_domain: TrustDomain,
    key: PrivateKey,
    root: Certificate,
}

static SERIAL: AtomicU64 = AtomicU64::new(1);

async fn issue(
    key: &PrivateKey,
    uri: &str,
    usage: Usage,
    issuer: &Issuer,
    signer: &PrivateKey,
    hours: std::ops::Range<i32>,
) -> Certificate {
    let mut serial = [0; 16];
    serial[8..].copy_from_slice(&SERIAL.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    serial[0] = 1;
    let now = ManualClock::at_unix(NOW).now();
    let after = |hours: i32| now + HOUR * u32::try_from(hours + 1000).unwrap() - HOUR * 1000;
    let template = CertificateTemplate {
        serial,
        subject: Subject { organization: vec!["SPIRE".into()], ..Subject::default() }.to_name().unwrap(),
        not_before: after(hours.start),
        not_after: after(hours.end),
        uri_san: uri.into(),
        dns_sans: vec![],
        usage,
        extra_extensions: vec![],
    };
    let der = sign_certificate(&template, key.public_key(), issuer, signer).await.unwrap();
    Certificate::parse(&der).unwrap()
}

impl Authority {
    pub async fn new(trust_domain: &str) -> Self {
        let trust_domain: TrustDomain = trust_domain.parse().unwrap();
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let name = Subject { organization: vec!["SPIRE".into()], ..Subject::default() }.to_name().unwrap();
        let issuer = Issuer { name, key_id: None };
        let root = issue(&key, &trust_domain.id_string(), Usage::Ca, &issuer, &key, -24..240).await;
        Self { trust_domain, key, root }
    }

    pub fn id(&self, path: &str) -> SpiffeId {
        SpiffeId::from_path(self.trust_domain.clone(), path).unwrap()
    }

    pub async fn identity(&self, path: &str) -> Arc<IdentityCell> {
        self.identity_with(path, KeyType::EcP256, Usage::Svid, -1..1).await
    }

    pub async fn identity_with(
        &self,
        path: &str,
        kind: KeyType,
        usage: Usage,
        hours: std::ops::Range<i32>,
    ) -> Arc<IdentityCell> {
        let key = PrivateKey::generate(kind).unwrap();
        let issuer = Issuer {
            name: self.root.subject().clone(),
            key_id: Some(self.key.public_key().subject_key_id().to_vec()),
        };
        let leaf = issue(&key, &self.id(path).to_string(), usage, &issuer, &self.key, hours).await;
        let identity = certified_key([&leaf.der()[..]], Arc::new(key)).unwrap();
        Arc::new(IdentityCell::new(Some(identity)))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Bundles(HashMap<TrustDomain, Roots>);

impl Bundles {
    pub fn of<'a>(authorities: impl IntoIterator<Item = &'a Authority>) -> Arc<Self> {
        let roots = |authority: &Authority| Roots::new(vec![authority.root.clone()]).unwrap();
        Arc::new(Self(authorities.into_iter().map(|ca| (ca.trust_domain.clone(), roots(ca))).collect()))
    }
}

impl BundleSource for Bundles {
    fn roots(&self, trust_domain: &TrustDomain) -> Option<Roots> {
        self.0.get(trust_domain).cloned()
    }
}

pub(crate) fn clock() -> SharedClock {
    ManualClock::at_unix(NOW).shared()
}

/// The server API as it is configured: certificates optional, only members of the trust domain.
pub(crate) async fn server(authority: &Authority, bundles: Arc<Bundles>) -> Arc<ServerTls> {
    let trust_domain = authority.trust_domain.clone();
    let clients = ClientAuth {
        bundles,
        authorize: Arc::new(move |id: &SpiffeId| {
            if id.is_member_of(&trust_domain) {
                Ok(())
            } else {
                Err(format!("unexpected trust domain in ID {:?}", id.to_string()))
            }
        }),
        mandatory: false,
    };
    let options = ServerTlsOptions {
        identity: authority.identity("/spire/server").await,
        clients: Some(clients),
        alpn: vec![b"h2"],
        policy: TlsPolicy::default(),
        clock: clock(),
    };
    Arc::new(ServerTls::new(options).unwrap())
}

pub(crate) fn client(
    authority: &Authority,
    bundles: Arc<Bundles>,
    identity: Option<Arc<IdentityCell>>,
) -> ClientTls {
    ClientTls {
        server: ServerCheck::Svid { id: authority.id("/spire/server"), bundles },
        identity: identity.map(|identity| identity as Arc<dyn IdentitySource>),
        policy: TlsPolicy::default(),
        clock: clock(),
    }
}

mod handshake {
    use futures::StreamExt;
    use spire_runtime::logging::capture;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::incoming::{IncomingOptions, TlsIncoming, TlsStream, tls_incoming};

    async fn listen(tls: Arc<ServerTls>) -> (TlsIncoming, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (tls_incoming(listener, tls, IncomingOptions::default()), address)
    }

    /// What the client sees, and the server's side if it accepted.
    async fn shake(tls: Arc<ServerTls>, client: &ClientTls) -> (Result<(), String>, Option<TlsStream>) {
        let (mut incoming, address) = listen(tls).await;
        let stream = TcpStream::connect(&address).await.unwrap();
        let mut stream = match client.connect(stream, "localhost").await {
            Ok(stream) => stream,
            Err(error) => return (Err(error.to_string()), None),
        };
        // In TLS 1.3 the client only learns from the next read that it was refused.
        let mut byte = [0];
        tokio::select! {
            server = incoming.next() => {
                let mut server = server.unwrap().unwrap();
                server.write_all(b"!").await.unwrap();
                server.flush().await.unwrap();
                stream.read_exact(&mut byte).await.unwrap();
                (Ok(()), Some(server))
            }
            read = stream.read(&mut byte) => (Err(read.unwrap_err().to_string()), None),
        }
    }

    #[tokio::test]
    async fn both_sides_know_each_other_after_the_handshake() {
        // SA-207, AG-232, AG-233
        let ca = Authority::new("example.org").await;
        let bundles = Bundles::of([&ca]);
        for kind in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
            let agent = ca.identity_with("/spire/agent/x/1", kind, Usage::Svid, -1..1).await;
            let server = server(&ca, bundles.clone()).await;
            let (result, stream) = shake(server, &client(&ca, bundles.clone(), Some(agent))).await;
            result.unwrap();
            let stream = stream.unwrap();
            assert_eq!(stream.info().peer_id(), Some(&ca.id("/spire/agent/x/1")));
            assert_eq!(stream.info().peer_certs().len(), 1);
            assert!(stream.info().peer_addr().ip().is_loopback());
            assert_eq!(stream.alpn_protocol(), Some(&b"h2"[..]));
        }
    }

    #[tokio::test]
    async fn a_client_without_certificate_is_let_in_as_nobody() {
        // SA-207, AG-234
        let ca = Authority::new("example.org").await;
        let bundles = Bundles::of([&ca]);
        let (result, stream) = shake(server(&ca, bundles.clone()).await, &client(&ca, bundles, None)).await;
        result.unwrap();
        let stream = stream.unwrap();
        assert_eq!(stream.info().peer_id(), None);
        assert!(stream.info().peer_certs().is_empty());
    }

    #[tokio::test]
    async fn bad_client_certificates_end_the_handshake_and_the_log_says_why() {
        // SA-207, SA-209, CA-505, CA-521
        let (ca, other) = (Authority::new("example.org").await, Authority::new("other.org").await);
        let impostor = Authority::new("example.org").await;
        let (one, both) = (Bundles::of([&ca]), Bundles::of([&ca, &other]));
        let expired = ca.identity_with("/w", KeyType::EcP256, Usage::Svid, -3..-1).await;
        let future = ca.identity_with("/w", KeyType::EcP256, Usage::Svid, 1..2).await;
        let signer = ca.identity_with("/w", KeyType::EcP256, Usage::Ca, -1..1).await;
        for (identity, bundles, reason) in [
            (expired, &one, "x509svid: could not verify leaf certificate: x509: certificate has expired"),
            (future, &one, "x509svid: could not verify leaf certificate: x509: certificate has expired"),
            (signer, &one, "x509svid: leaf certificate with CA flag set to true"),
            (
                other.identity("/w").await,
                &one,
                "x509svid: could not get X509 bundle: no bundle found for trust domain \"other.org\"",
            ),
            (other.identity("/w").await, &both, "unexpected trust domain in ID \"spiffe://other.org/w\""),
            (
                impostor.identity("/w").await,
                &one,
                "x509svid: could not verify leaf certificate: x509: certificate signed by unknown authority",
            ),
        ] {
            let log = capture();
            let server = server(&ca, bundles.clone()).await;
            let (result, _) = shake(server, &client(&ca, one.clone(), Some(identity))).await;
            let seen = result.unwrap_err();
            assert!(seen.contains("BadCertificate"), "{reason}: {seen}");
            let line = log.find("Connection refused during the handshake").unwrap();
            assert!(line.field("error").starts_with(reason), "{}", line.field("error"));
        }
    }

    #[tokio::test]
    async fn a_server_must_have_exactly_the_expected_id_and_chain_to_the_bundle() {
        // AG-233, CA-510, CA-512
        let ca = Authority::new("example.org").await;
        let impostor = Authority::new("example.org").await;
        let bundles = Bundles::of([&ca]);
        let fake = server(&impostor, bundles.clone()).await;
        assert_eq!(
            shake(fake, &client(&ca, bundles.clone(), None)).await.0.unwrap_err(),
            "x509svid: could not verify leaf certificate: x509: certificate signed by unknown authority"
        );
        let mut picky = client(&ca, bundles.clone(), None);
        picky.server = ServerCheck::Svid { id: ca.id("/spire/other"), bundles: bundles.clone() };
        assert_eq!(
            shake(server(&ca, bundles).await, &picky).await.0.unwrap_err(),
            "unexpected ID \"spiffe://example.org/spire/server\""
        );
    }

    #[tokio::test]
    async fn insecure_bootstrap_believes_the_name_and_warns() {
        // AG-235, CA-511
        let (ca, stranger) = (Authority::new("example.org").await, Authority::new("example.org").await);
        let bundles = Bundles::of([&ca]);
        let log = capture();
        let mut trusting = client(&stranger, bundles.clone(), None);
        trusting.server = ServerCheck::Unproven { id: stranger.id("/spire/server") };
        shake(server(&ca, bundles.clone()).await, &trusting).await.0.unwrap();
        assert!(log.find("Insecure bootstrap enabled; skipping server certificate verification").is_some());

        let elsewhere = Authority::new("elsewhere.org").await;
        trusting.server = ServerCheck::Unproven { id: elsewhere.id("/spire/server") };
        assert_eq!(
            shake(server(&ca, bundles).await, &trusting).await.0.unwrap_err(),
            "expected server SPIFFE ID \"spiffe://elsewhere.org/spire/server\"; got \
             [\"spiffe://example.org/spire/server\"]"
        );
    }

    #[tokio::test]
    async fn a_rotated_identity_is_presented_at_the_next_handshake() {
        // SA-206
        let ca = Authority::new("example.org").await;
        let bundles = Bundles::of([&ca]);
        let identity = Arc::new(IdentityCell::default());
        let agent = client(&ca, bundles.clone(), Some(identity.clone()));
        let server = server(&ca, bundles).await;
        let (result, stream) = shake(server.clone(), &agent).await;
        result.unwrap();
        assert_eq!(stream.unwrap().info().peer_id(), None);
        identity.set(ca.identity("/spire/agent/x/1").await.current().unwrap());
        let (_, stream) = shake(server, &agent).await;
        assert!(stream.unwrap().info().peer_id().is_some());
    }

    #[tokio::test]
    async fn a_post_quantum_policy_refuses_classic_key_exchanges() {
        // CA-502
        let ca = Authority::new("example.org").await;
        let bundles = Bundles::of([&ca]);
        let mut strict = client(&ca, bundles.clone(), None);
        strict.policy.require_pq_kem = true;
        shake(server(&ca, bundles.clone()).await, &strict).await.0.unwrap();

        let groups = strict.policy.provider().kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>();
        assert_eq!(groups, [rustls::NamedGroup::X25519MLKEM768, rustls::NamedGroup::secp256r1MLKEM768]);
        assert_eq!(strict.policy.versions(), [&rustls::version::TLS13]);
    }

    #[tokio::test]
    async fn the_suite_that_costs_least_is_chosen_and_every_other_is_left() {
        let provider = crate::tls::TlsPolicy::default().provider();
        let suites: Vec<_> = provider.cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(suites[0], rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(suites.len(), rustls::crypto::aws_lc_rs::default_provider().cipher_suites.len());
        let ca = Authority::new("example.org").await;
        let tls = server(&ca, Bundles::of([&ca])).await;
        assert!(tls.connection(None::<std::iter::Empty<&[u8]>>).unwrap().config.ignore_client_order);
    }

    async fn raw_client(
        address: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let ca = Authority::new("example.org").await;
        let template = client(&ca, Bundles::of([]), None);
        let mut config = template.config_for_tests(versions);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = rustls::pki_types::ServerName::try_from("x").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    #[tokio::test]
    async fn both_tls_versions_work_for_anonymous_clients() {
        // SA-207, without upstream's quirk for TLS 1.2
        let ca = Authority::new("example.org").await;
        let (mut incoming, address) = listen(server(&ca, Bundles::of([&ca])).await).await;
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let _client = raw_client(&address, &[version], &[b"h2"]).await.unwrap();
            assert!(incoming.next().await.unwrap().unwrap().info().peer_id().is_none());
        }
    }

    #[tokio::test]
    async fn a_client_without_http2_shakes_hands_and_is_disconnected() {
        // SA-206; as observed with upstream (conform/api, tls-alpn-*)
        let ca = Authority::new("example.org").await;
        let (_incoming, address) = listen(server(&ca, Bundles::of([&ca])).await).await;
        for alpn in [&[][..], &[&b"http/1.1"[..]][..]] {
            let mut client = raw_client(&address, rustls::ALL_VERSIONS, alpn).await.unwrap();
            assert_eq!(client.get_ref().1.alpn_protocol(), None);
            let mut byte = [0];
            assert!(!matches!(client.read(&mut byte).await, Ok(1..)));
        }
    }
}
