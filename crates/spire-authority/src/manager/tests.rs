use std::time::Duration;

use spire_config::Object;
use spire_datastore::DatastoreSettings;
use spire_plugin::{BuiltIn, PluginContext};
use spire_runtime::ManualClock;
use spire_types::SlotStatus;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

struct World {
    clock: ManualClock,
    datastore: Datastore,
    keys: Arc<dyn KeyManager>,
    _dir: tempfile::TempDir,
}

/// A key manager of the tests' own: the built-ins lie in a crate beside this one.
mod keys {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use spire_crypto::{KeyType, PrivateKey, PublicKey, SignError, SignatureScheme, Signer};
    use spire_plugin::ManagedKey;

    use super::*;

    #[derive(Debug)]
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

    #[derive(Debug, Default)]
    struct Keys(Mutex<BTreeMap<String, Arc<Key>>>);

    #[async_trait]
    impl KeyManager for Keys {
        async fn generate_key(&self, id: &str, kind: KeyType) -> Result<Arc<dyn ManagedKey>, PluginError> {
            let key = Arc::new(Key(id.to_owned(), PrivateKey::generate(kind).unwrap()));
            self.0.lock().await.insert(id.to_owned(), key.clone());
            Ok(key)
        }
        async fn key(&self, id: &str) -> Result<Option<Arc<dyn ManagedKey>>, PluginError> {
            Ok(self.0.lock().await.get(id).map(|key| key.clone() as Arc<dyn ManagedKey>))
        }
        async fn keys(&self) -> Result<Vec<Arc<dyn ManagedKey>>, PluginError> {
            Ok(self.0.lock().await.values().map(|key| key.clone() as Arc<dyn ManagedKey>).collect())
        }
    }

    pub const MEMORY: BuiltIn<dyn KeyManager> = BuiltIn {
        name: "memory",
        configurable: false,
        build: |_, _| Ok(Arc::new(Keys::default())),
        validate: |_, _| Vec::new(),
    };
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at_unix(1_700_000_000);
        let path = dir.path().join("db.sqlite3").display().to_string();
        let datastore = Datastore::open(DatastoreSettings::sqlite(path), clock.shared()).await.unwrap();
        let context = PluginContext { trust_domain: "td".parse().unwrap(), clock: clock.shared() };
        let keys = (keys::MEMORY.build)(&context, &Object::default()).unwrap();
        Self { clock, datastore, keys, _dir: dir }
    }

    async fn manager(&self) -> AuthorityManager {
        let settings = CredentialSettings::new("td".parse().unwrap());
        let manager =
            AuthorityManager::load(settings, self.keys.clone(), self.datastore.clone(), self.clock.shared())
                .await
                .unwrap();
        manager.initialize().await.unwrap();
        manager
    }

    async fn roots(&self) -> usize {
        let bundle = self.datastore.fetch_bundle(&"td".parse().unwrap()).await.unwrap().unwrap();
        bundle.x509_authorities.len()
    }
}

#[tokio::test]
async fn a_restart_keeps_the_authorities() {
    // CA-047, CA-048
    let world = World::new().await;
    let first = world.manager().await;
    let (x509, jwt) = (first.x509_state().await, first.jwt_state().await);
    drop(first);
    let second = world.manager().await;
    assert_eq!(second.x509_state().await, x509);
    assert_eq!(second.jwt_state().await.current.authority_id, jwt.current.authority_id);
    assert_eq!(world.roots().await, 1);
}

#[tokio::test]
async fn authorities_are_prepared_then_activated_as_time_goes_by() {
    // CA-028 to CA-030, CA-038
    let world = World::new().await;
    let manager = world.manager().await;
    let first = manager.x509_state().await.current.authority_id;
    world.clock.advance(11 * HOUR);
    manager.rotate_if_due().await;
    assert_eq!(manager.x509_state().await.next.status, SlotStatus::Unknown);
    world.clock.advance(2 * HOUR);
    manager.rotate_if_due().await;
    let prepared = manager.x509_state().await.next;
    assert_eq!(prepared.status, SlotStatus::Prepared);
    assert_eq!(world.roots().await, 2, "published before it signs");
    world.clock.advance(8 * HOUR);
    manager.rotate_if_due().await;
    let state = manager.x509_state().await;
    assert_eq!(
        (state.current.authority_id, state.current.status),
        (prepared.authority_id, SlotStatus::Active)
    );
    assert_eq!((state.next.authority_id, state.next.status), (first, SlotStatus::Old));
    assert_eq!(manager.failed_rotations(), 0);
}

#[tokio::test]
async fn lost_keys_mean_new_authorities_beside_the_old_roots() {
    // CA-060
    let mut world = World::new().await;
    drop(world.manager().await);
    let context = PluginContext { trust_domain: "td".parse().unwrap(), clock: world.clock.shared() };
    world.keys = (keys::MEMORY.build)(&context, &Object::default()).unwrap();
    world.manager().await;
    assert_eq!(world.roots().await, 2);
}

#[tokio::test]
async fn an_operator_prepares_activates_taints_and_revokes() {
    // CA-100 to CA-104
    let world = World::new().await;
    let manager = world.manager().await;
    let first = manager.x509_state().await.current.authority_id;
    let text = |error: ControlError| error.to_string();
    assert_eq!(manager.activate_x509("").await.map_err(text).unwrap_err(), "no authority ID provided");
    assert_eq!(manager.activate_x509("x").await.map_err(text).unwrap_err(), "unexpected authority ID");
    let prepared = manager.prepare_x509().await.unwrap();
    assert_eq!(
        manager.taint_x509(&prepared.authority_id).await.map_err(text).unwrap_err(),
        "only Old local authorities can be tainted: unsupported local authority status: PREPARED"
    );
    assert_eq!(manager.activate_x509(&prepared.authority_id).await.unwrap().status, SlotStatus::Active);
    assert_eq!(
        manager.activate_x509(&first).await.map_err(text).unwrap_err(),
        "only Prepared authorities can be activated: unsupported local authority status: OLD"
    );
    let current = manager.x509_state().await.current.authority_id;
    assert_eq!(
        manager.taint_x509(&current).await.map_err(text).unwrap_err(),
        "unable to taint current local authority"
    );
    let (_, tainted) = manager.taint_x509(&first).await.unwrap();
    assert_eq!(tainted.len(), 1);
    manager.revoke_x509(&first).await.unwrap();
    assert_eq!(world.roots().await, 1);
}

#[tokio::test]
async fn svids_end_with_their_authority_at_the_latest() {
    // CA-202
    let world = World::new().await;
    let manager = world.manager().await;
    let key = spire_crypto::PrivateKey::generate(spire_crypto::KeyType::EcP256).unwrap();
    let params = crate::WorkloadSvidParams {
        spiffe_id: "spiffe://td/w".parse().unwrap(),
        public_key: key.public_key().clone(),
        ttl: 100 * HOUR,
        dns_names: vec!["db".into()],
        subject: None,
    };
    let svid = manager.authority().sign_workload_svid(params).await.unwrap();
    assert_eq!(svid.expires_at, manager.x509_state().await.current.not_after);
    let leaf = spire_crypto::x509::Certificate::parse(&svid.cert_chain[0]).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=db,O=SPIRE,C=US");
    let bundle = world.datastore.fetch_bundle(&"td".parse().unwrap()).await.unwrap().unwrap();
    let roots = spire_crypto::x509::Roots::of_bundle(&bundle).unwrap();
    let at = time::OffsetDateTime::from_unix_timestamp(1_700_000_001).unwrap();
    let id = spire_crypto::x509::verify_x509_svid(&[leaf], |_| Some(roots.clone()), at).unwrap();
    assert_eq!(id.to_string(), "spiffe://td/w");
}

#[tokio::test]
async fn a_subject_of_which_nothing_is_left_is_not_replaced() {
    // CA-220: as of a request that names an e-mail address only.
    let world = World::new().await;
    let manager = world.manager().await;
    let key = spire_crypto::PrivateKey::generate(spire_crypto::KeyType::EcP256).unwrap();
    for (names, wanted) in [(vec![], ""), (vec!["db".to_owned()], "CN=db")] {
        let params = crate::WorkloadSvidParams {
            spiffe_id: "spiffe://td/w".parse().unwrap(),
            public_key: key.public_key().clone(),
            ttl: Duration::ZERO,
            dns_names: names,
            subject: Some(spire_crypto::x509::Subject::default()),
        };
        let svid = manager.authority().sign_workload_svid(params).await.unwrap();
        let leaf = spire_crypto::x509::Certificate::parse(&svid.cert_chain[0]).unwrap();
        assert_eq!(leaf.subject().to_string(), wanted);
    }
}

#[tokio::test]
async fn what_would_be_over_at_once_is_refused_by_its_name() {
    // CA-241, CA-246, CA-249: to the very end of the authority, and not a fraction of a second longer.
    let world = World::new().await;
    let manager = world.manager().await;
    let key = spire_crypto::PrivateKey::generate(spire_crypto::KeyType::EcP256).unwrap();
    let key = key.public_key();
    let agent = "spiffe://td/spire/agent/x".parse().unwrap();
    world.clock.advance(24 * HOUR);
    manager.authority().sign_agent_svid(&agent, key).await.unwrap();
    world.clock.advance(Duration::from_millis(500));
    let over = "already expired as of 2023-11-15T22:13:20Z";
    let error = manager.authority().sign_agent_svid(&agent, key).await.unwrap_err();
    assert_eq!(error.to_string(), format!("invalid agent X509-SVID: invalid X509-SVID: {over}"));
    let error = manager.authority().sign_server_svid(key).await.unwrap_err();
    assert_eq!(error.to_string(), format!("invalid server X509-SVID: invalid X509-SVID: {over}"));
    let error = manager.authority().sign_downstream_ca(key, HOUR).await.unwrap_err();
    assert_eq!(error.to_string(), format!("invalid downstream X509 CA: invalid X509 CA: {over}"));
    let params =
        crate::JwtSvidParams { spiffe_id: agent, audience: vec!["a".into()], ttl: HOUR, include_jti: false };
    let error = manager.authority().sign_jwt_svid(params).await.unwrap_err();
    assert_eq!(error.to_string(), format!("invalid JWT-SVID \"exp\" claim: {over}"));
}

#[tokio::test]
async fn an_authority_is_used_before_its_time_as_in_spire_and_the_log_says_so() {
    // CA-057, CA-202, CA-249: who verifies is the one to refuse.
    const WARNING: &str = "X509 CA is not valid yet: until then, whatever it signs is refused. Either the clock of this \
                           host is wrong now, or it was when the CA was made; then prepare and activate another one \
                           with \"localauthority x509\" and restart";
    let mut world = World::new().await;
    let made = world.manager().await.x509_state().await;
    let begins = 1_700_000_000 - 10;
    let log = spire_runtime::logging::capture();
    world.clock = ManualClock::at_unix(begins);
    world.manager().await;
    assert!(log.find(WARNING).is_none(), "the first second belongs to it");

    world.clock = ManualClock::at_unix(begins - 3600);
    let manager = world.manager().await;
    assert_eq!((manager.x509_state().await, world.roots().await), (made, 1));
    let line = log.find(WARNING).unwrap();
    let told = ["current_time", "not_before", "slot"].map(|name| line.field(name));
    assert_eq!(told, ["2023-11-14 21:13:10 +0000 UTC", "2023-11-14 22:13:10 +0000 UTC", "A"]);
    assert_eq!(line.field("local_authority_id"), manager.x509_state().await.current.authority_id);

    let key = spire_crypto::PrivateKey::generate(spire_crypto::KeyType::EcP256).unwrap();
    let verify = async || {
        let svid = manager.authority().sign_server_svid(key.public_key()).await.unwrap();
        let leaf = spire_crypto::x509::Certificate::parse(&svid.cert_chain[0]).unwrap();
        let bundle = world.datastore.fetch_bundle(&"td".parse().unwrap()).await.unwrap().unwrap();
        let roots = spire_crypto::x509::Roots::of_bundle(&bundle).unwrap();
        let verified = spire_crypto::x509::verify_chain(&[leaf], &roots, world.clock.shared().now());
        verified.map(drop).map_err(|error| error.to_string())
    };
    let refused = "x509: certificate has expired or is not yet valid: \
                   current time 2023-11-14T21:13:10Z is before 2023-11-14T22:13:10Z";
    assert_eq!(verify().await.unwrap_err(), refused);
    manager.rotate_if_due().await;
    assert_eq!(verify().await.unwrap_err(), refused, "no other one is made");

    let prepared = manager.prepare_x509().await.unwrap();
    log.take();
    manager.activate_x509(&prepared.authority_id).await.unwrap();
    assert!(log.find(WARNING).is_none());
    verify().await.unwrap();
}
