//! The tasks against a server of a few lines, on a clock that moves when told to.

use std::convert::Infallible;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use prost::Message as _;
use spire_crypto::x509::{Certificate, CertificateRequest};
use spire_crypto::{KeyType, PrivateKey, PublicKey, SignError, SignatureScheme, Signer};
use spire_net::incoming::{IncomingOptions, tls_incoming};
use spire_net::tls::{
    ClientTls, IdentityCell, ServerCheck, ServerTls, ServerTlsOptions, TlsPolicy, certified_key,
};
use spire_plugin::{KeyManager, ManagedKey, PluginError};
use spire_proto::convert::svid::x509_svid_to_wire;
use spire_proto::rpc_status::permission_denied_details;
use spire_proto::server::agent::v1 as agent;
use spire_proto::server::bundle::v1 as bundle;
use spire_proto::server::entry::v1 as entry;
use spire_proto::server::svid::v1 as svid;
use spire_proto::types::{self, permission_denied_details::Reason};
use spire_runtime::{FixedRandom, ManualClock};
use spire_types::{Bundle, Selector, SpiffeId, TrustDomain, X509Authority, X509Svid};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::*;
use crate::cache::{BundleSet, Cache, JwtCache};
use crate::identity::{AgentSvid, Attester, Identity, KeySlots, Proof, RotationPolicy};
use crate::link::ServerLink;
use crate::settings::ServerAddress;
use crate::sync::{Parts, SynchronizerSettings};
use crate::testing::{NOW, TestCa};

const AGENT: &str = "spiffe://example.org/spire/agent/x509pop/1";

/// What the server does and did.
#[derive(Debug)]
struct Server {
    ca: TestCa,
    clock: ManualClock,
    entries: Mutex<Vec<types::Entry>>,
    /// The answer to pulls until the agent attests.
    refusal: Mutex<Option<Reason>>,
    attested: Mutex<usize>,
    renewed: Mutex<usize>,
}

impl Server {
    async fn sign(&self, csr: &[u8], id: &str, seconds: i64) -> types::X509svid {
        let request = CertificateRequest::parse(csr).unwrap();
        let now = spire_runtime::Clock::unix(&self.clock);
        let chain = self.ca.certify(request.public_key(), id, now, seconds).await;
        x509_svid_to_wire(&X509Svid {
            id: id.parse().unwrap(),
            cert_chain: chain.iter().map(|certificate| certificate.der().clone()).collect(),
            expires_at: now + seconds,
            hint: String::new(),
        })
    }

    fn admit(&self) -> Result<(), Status> {
        match *self.refusal.lock() {
            None => Ok(()),
            Some(reason) => {
                let details = permission_denied_details("no", reason);
                Err(Status::with_details(Code::PermissionDenied, "no", details))
            }
        }
    }

    async fn sign_workloads(
        &self,
        request: svid::BatchNewX509svidRequest,
    ) -> Result<svid::BatchNewX509svidResponse, Status> {
        self.admit()?;
        let mut results = Vec::new();
        for params in request.params {
            let id = format!("spiffe://example.org/{}", params.entry_id);
            results.push(svid::batch_new_x509svid_response::Result {
                status: Some(types::Status::default()),
                svid: Some(self.sign(&params.csr, &id, 1000).await),
            });
        }
        Ok(svid::BatchNewX509svidResponse { results })
    }

    async fn attest(&self, request: agent::AttestAgentRequest) -> agent::AttestAgentResponse {
        let Some(agent::attest_agent_request::Step::Params(params)) = request.step else {
            panic!("no params");
        };
        *self.attested.lock() += 1;
        *self.refusal.lock() = None;
        let svid = self.sign(&params.params.unwrap().csr, AGENT, 1000).await;
        let result = agent::attest_agent_response::Result { svid: Some(svid), reattestable: true };
        agent::AttestAgentResponse { step: Some(agent::attest_agent_response::Step::Result(result)) }
    }
}

#[derive(Debug, Clone)]
struct Service<const N: usize>(Arc<Server>);

impl NamedService for Service<0> {
    const NAME: &'static str = "spire.api.server.entry.v1.Entry";
}
impl NamedService for Service<1> {
    const NAME: &'static str = "spire.api.server.bundle.v1.Bundle";
}
impl NamedService for Service<2> {
    const NAME: &'static str = "spire.api.server.svid.v1.SVID";
}
impl NamedService for Service<3> {
    const NAME: &'static str = "spire.api.server.agent.v1.Agent";
}

impl<const N: usize> tower::Service<http::Request<Body>> for Service<N> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let server = self.0.clone();
        Box::pin(async move { Ok(answer(server, request).await) })
    }
}

type One<T> = futures::stream::Once<std::future::Ready<Result<T, Status>>>;

fn once<T>(message: T) -> Response<One<T>> {
    Response::new(futures::stream::once(std::future::ready(Ok(message))))
}

async fn answer(server: Arc<Server>, request: http::Request<Body>) -> http::Response<Body> {
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    match method.as_str() {
        "SyncAuthorizedEntries" => {
            let sync = service_fn(move |_: Request<Streaming<entry::SyncAuthorizedEntriesRequest>>| {
                let server = server.clone();
                async move {
                    server.admit()?;
                    let entries = server.entries.lock();
                    let entries = entries.iter().map(|entry| entry.encode_to_vec().into()).collect();
                    let answer = entry::SyncAuthorizedEntriesResponse { entries, ..Default::default() };
                    Ok::<_, Status>(once(answer))
                }
            });
            Grpc::new(ProstCodec::default()).streaming(sync, request).await
        }
        "AttestAgent" => {
            let attest = service_fn(move |request: Request<Streaming<agent::AttestAgentRequest>>| {
                let server = server.clone();
                async move {
                    let first = request.into_inner().message().await?.unwrap();
                    Ok::<_, Status>(once(server.attest(first).await))
                }
            });
            Grpc::new(ProstCodec::default()).streaming(attest, request).await
        }
        "GetBundle" => {
            let get = service_fn(move |_: Request<bundle::GetBundleRequest>| {
                let asn1 = server.ca.certificate.der().to_vec().into();
                let wire = types::Bundle {
                    trust_domain: "example.org".to_owned(),
                    x509_authorities: vec![types::X509Certificate { asn1, tainted: false }],
                    ..Default::default()
                };
                async move { Ok::<_, Status>(Response::new(wire)) }
            });
            Grpc::new(ProstCodec::default()).unary(get, request).await
        }
        "BatchNewX509SVID" => {
            let sign = service_fn(move |request: Request<svid::BatchNewX509svidRequest>| {
                let server = server.clone();
                async move { server.sign_workloads(request.into_inner()).await.map(Response::new) }
            });
            Grpc::new(ProstCodec::default()).unary(sign, request).await
        }
        "RenewAgent" => {
            let renew = service_fn(move |request: Request<agent::RenewAgentRequest>| {
                let server = server.clone();
                async move {
                    server.admit()?;
                    *server.renewed.lock() += 1;
                    let csr = request.into_inner().params.unwrap().csr;
                    let svid = Some(server.sign(&csr, AGENT, 1000).await);
                    Ok::<_, Status>(Response::new(agent::RenewAgentResponse { svid }))
                }
            });
            Grpc::new(ProstCodec::default()).unary(renew, request).await
        }
        _ => {
            let post = service_fn(|_: Request<agent::PostStatusRequest>| async {
                Ok::<_, Status>(Response::new(agent::PostStatusResponse {}))
            });
            Grpc::new(ProstCodec::default()).unary(post, request).await
        }
    }
}

#[derive(Debug, Clone)]
struct Key(String, PrivateKey);

#[async_trait]
impl Signer for Key {
    fn public_key(&self) -> &PublicKey {
        self.1.public_key()
    }
    async fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.1.sign(scheme, message)?)
    }
}

impl ManagedKey for Key {
    fn id(&self) -> &str {
        &self.0
    }
}

#[derive(Debug)]
struct Keys;

#[async_trait]
impl KeyManager for Keys {
    async fn generate_key(&self, id: &str, kind: KeyType) -> Result<Arc<dyn ManagedKey>, PluginError> {
        Ok(Arc::new(Key(id.to_owned(), PrivateKey::generate(kind).unwrap())))
    }
    async fn key(&self, _: &str) -> Result<Option<Arc<dyn ManagedKey>>, PluginError> {
        Ok(None)
    }
    async fn keys(&self) -> Result<Vec<Arc<dyn ManagedKey>>, PluginError> {
        Ok(Vec::new())
    }
}

async fn serve(server: Arc<Server>) -> u16 {
    let (chain, key) = server.ca.issue("spiffe://example.org/spire/server", 100_000).await;
    let certified = certified_key(chain.iter().map(|one| &one.der()[..]), Arc::new(key)).unwrap();
    let tls = ServerTls::new(ServerTlsOptions {
        identity: Arc::new(IdentityCell::new(Some(certified))),
        clients: None,
        alpn: vec![b"h2"],
        policy: TlsPolicy::default(),
        clock: server.clock.shared(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let incoming = tls_incoming(listener, Arc::new(tls.unwrap()), IncomingOptions::default());
    let routes = tonic::transport::Server::builder()
        .add_service(Service::<0>(server.clone()))
        .add_service(Service::<1>(server.clone()))
        .add_service(Service::<2>(server.clone()))
        .add_service(Service::<3>(server));
    tokio::spawn(routes.serve_with_incoming(incoming));
    port
}

struct Fixture {
    server: Arc<Server>,
    clock: ManualClock,
    cache: Arc<Cache>,
    tasks: Arc<Tasks>,
    storage: Arc<Storage>,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn new(reattestable: bool) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at_unix(NOW));
        let server = Arc::new(Server {
            ca: TestCa::new("example.org").await,
            clock: clock.clone(),
            entries: Mutex::new(vec![wire("w")]),
            refusal: Mutex::default(),
            attested: Mutex::default(),
            renewed: Mutex::default(),
        });
        let port = serve(server.clone()).await;
        let (chain, key) = server.ca.issue(AGENT, 1000).await;
        let storage = Arc::new(Storage::open(dir.path()).unwrap());
        storage.store_svid(&chain, reattestable).await.unwrap();
        let policy = RotationPolicy::new(None, Arc::new(FixedRandom(0.5)));
        let key = Arc::new(Key("agent-svid-A".to_owned(), key));
        let svid = AgentSvid::new(chain, key, reattestable, &policy).unwrap();
        let identity = Arc::new(Identity::new(svid).unwrap());
        let trust_domain = TrustDomain::from_name("example.org").unwrap();
        let authority = X509Authority { der: server.ca.certificate.der().clone(), tainted: false };
        let own = Bundle { x509_authorities: vec![authority], ..Bundle::empty(trust_domain.clone()) };
        let bundles = Arc::new(BundleSet::new(own).unwrap());
        let address = ServerAddress { host: "127.0.0.1".to_owned(), port };
        let tls = ClientTls {
            server: ServerCheck::Svid { id: SpiffeId::server(&trust_domain), bundles: bundles.clone() },
            identity: Some(identity.source()),
            policy: TlsPolicy::default(),
            clock: clock.shared(),
        };
        let link = Arc::new(ServerLink::new(address.target(), Arc::new(tls)).unwrap());
        let cache = Cache::new(bundles.clone(), 10, clock.shared());
        let settings = SynchronizerSettings {
            use_sync_authorized_entries: true,
            workload_key_type: KeyType::EcP256,
            token_patience: Duration::from_secs(30),
        };
        let parts = Parts {
            link: link.clone(),
            cache: cache.clone(),
            tokens: Arc::new(JwtCache::new(10)),
            bundles: bundles.clone(),
            identity: identity.clone(),
            storage: storage.clone(),
            policy: policy.clone(),
            clock: clock.shared(),
        };
        let attester = Attester {
            proof: Proof::for_tests(),
            server: address,
            trust_domain,
            policy: TlsPolicy::default(),
            clock: clock.shared(),
        };
        let random: SharedRandom = Arc::new(FixedRandom(0.5));
        let tasks = Arc::new(Tasks {
            synchronizer: Arc::new(Synchronizer::new(settings, parts)),
            rotator: Rotator {
                identity,
                link,
                attester,
                keys: KeySlots::new(Arc::new(Keys)),
                storage: storage.clone(),
                bundles,
                policy,
                clock: clock.shared(),
                random: random.clone(),
            },
            bootstrapping: Arc::new(Bootstrapping::load(storage.clone(), clock.shared()).await),
            storage: storage.clone(),
            rebootstrap_mode: RebootstrapMode::Never,
            rebootstrap_delay: Duration::from_secs(600),
            sync_interval: Duration::from_secs(3600),
            rings: Nudge::new(),
            clock: clock.shared(),
            random,
        });
        Self { server, clock, cache, tasks, storage, _dir: dir }
    }

    fn subscribe(&self) -> crate::cache::Subscription {
        self.cache.subscribe(vec![Selector::parse("unix:uid:1").unwrap()])
    }
}

fn wire(id: &str) -> types::Entry {
    types::Entry {
        id: id.to_owned(),
        spiffe_id: Some(types::Spiffeid { trust_domain: "example.org".to_owned(), path: format!("/{id}") }),
        selectors: vec![types::Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() }],
        ..types::Entry::default()
    }
}

#[tokio::test]
async fn a_ring_brings_a_new_entry_to_an_open_stream_without_waiting_for_the_timer() {
    // A5: the timer of this agent is an hour.
    let fixture = Fixture::new(true).await;
    fixture.tasks.synchronizer.synchronize().await.unwrap();
    let mut stream = fixture.subscribe();
    assert_eq!(stream.settled().await.svids().len(), 1);
    let shutdown = Shutdown::new();
    let task = tokio::spawn(fixture.tasks.clone().sync(shutdown.clone()));
    fixture.clock.wait_for_sleepers(1).await;
    fixture.server.entries.lock().push(wire("x"));
    fixture.tasks.rings.nudge();
    while stream.changed().await.svids().len() != 2 {}
    shutdown.trigger();
    task.await.unwrap().unwrap();
    assert_eq!(fixture.tasks.synchronizer.last_success(), NOW);
}

#[tokio::test]
async fn an_evicted_agent_attests_again_and_its_workloads_notice_nothing() {
    // AG-402, AG-405
    let fixture = Fixture::new(true).await;
    fixture.tasks.synchronizer.synchronize().await.unwrap();
    let stream = fixture.subscribe();
    *fixture.server.refusal.lock() = Some(Reason::AgentNotAttested);
    let refused = fixture.tasks.rotator.identity.current();
    let fault = fixture.tasks.synchronizer.synchronize().await.unwrap_err();
    assert_eq!(fault.consequence(), Consequence::Reattest);
    let attested = fixture.tasks.turned_away(&fault, &refused, &Shutdown::new()).await.unwrap();
    assert!(attested && !Arc::ptr_eq(&refused, &fixture.tasks.rotator.identity.current()));
    // A second task that was refused at the same time does not attest again.
    fixture.tasks.turned_away(&fault, &refused, &Shutdown::new()).await.unwrap();
    assert_eq!(*fixture.server.attested.lock(), 1);
    fixture.tasks.synchronizer.synchronize().await.unwrap();
    assert!(stream.current().has_identity());
    let stored: Vec<Certificate> = fixture.storage.svid().await.unwrap().chain;
    assert_eq!(stored, fixture.tasks.rotator.identity.current().chain);
}

#[tokio::test]
async fn an_agent_that_cannot_come_back_forgets_its_svid_and_stops() {
    // AG-402, AG-403: the next start attests anew instead of being refused for ever.
    for (reason, reattestable) in [(Reason::AgentNotAttested, false), (Reason::AgentBanned, true)] {
        let fixture = Fixture::new(reattestable).await;
        *fixture.server.refusal.lock() = Some(reason);
        fixture.tasks.rings.nudge();
        let stopped = fixture.tasks.clone().sync(Shutdown::new()).await.unwrap_err();
        assert!(stopped.to_string().starts_with("failed to fetch authorized entries: "), "{stopped}");
        assert!(fixture.storage.svid().await.is_none(), "{reason:?}");
        assert_eq!(*fixture.server.attested.lock(), 0);
    }
}

#[tokio::test]
async fn the_agents_own_svid_is_renewed_at_half_life_or_attested_anew() {
    // AG-371, AG-372, AG-373
    for reattestable in [false, true] {
        let fixture = Fixture::new(reattestable).await;
        let rotator = &fixture.tasks.rotator;
        fixture.clock.advance(Duration::from_secs(499));
        rotator.rotate_if_due().await.unwrap();
        assert_eq!(rotator.identity.current().key.id(), "agent-svid-A");
        fixture.clock.advance(Duration::from_secs(1));
        rotator.rotate_if_due().await.unwrap();
        let svid = rotator.identity.current();
        assert_eq!((svid.key.id(), svid.reattestable), ("agent-svid-B", reattestable));
        let counts = (*fixture.server.renewed.lock(), *fixture.server.attested.lock());
        assert_eq!(counts, if reattestable { (0, 1) } else { (1, 0) });
        fixture.tasks.synchronizer.synchronize().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_believed() {
    // AG-223, AG-233
    let fixture = Fixture::new(true).await;
    let other = TestCa::new("example.org").await;
    let authority = X509Authority { der: other.certificate.der().clone(), tainted: false };
    let trust_domain = TrustDomain::from_name("example.org").unwrap();
    let bundle = Bundle { x509_authorities: vec![authority], ..Bundle::empty(trust_domain) };
    fixture.tasks.synchronizer.bundles.update(vec![bundle]).unwrap();
    fixture.tasks.rings.nudge();
    let stopped = fixture.tasks.clone().sync(Shutdown::new()).await.unwrap_err();
    let text = stopped.to_string();
    assert!(
        text.starts_with("failed to sync with SPIRE Server: ") && stopped.is_unknown_authority(),
        "{text}"
    );
    assert!(fixture.storage.svid().await.is_some(), "the identity may still be good");
}
