//! At start: the stored identity if it still holds, else a new one by attestation (AG-226 to AG-228).

use std::sync::Arc;
use std::time::Duration;

use spire_crypto::x509::{Certificate, Roots};
use spire_net::tls::BundleSource;
use spire_plugin::ManagedKey;
use spire_proto::convert::bundle::bundle_from_peer;
use spire_proto::server::bundle::v1::GetBundleRequest;
use spire_proto::server::bundle::v1::bundle_client::BundleClient;
use spire_types::{Bundle, TrustDomain, X509Authority};
use tonic::transport::Channel;

use super::{AgentSvid, Attester, KeySlots, RotationPolicy};
use crate::bootstrap::Anchor;
use crate::fault::Fault;
use crate::storage::{Storage, StoredSvid};

/// Clocks may differ by this much (AG-226).
const SKEW: Duration = Duration::from_secs(1);

/// The agent's SVID and the bundle of its trust domain.
#[derive(Debug)]
pub struct Recovered {
    pub svid: AgentSvid,
    pub bundle: Bundle,
}

#[derive(Debug)]
struct FixedRoots(TrustDomain, Roots);

impl BundleSource for FixedRoots {
    fn roots(&self, trust_domain: &TrustDomain) -> Option<Roots> {
        (*trust_domain == self.0).then(|| self.1.clone())
    }
}

/// Reuses what is stored, without a word to the server, or attests.
pub async fn recover(
    anchor: Anchor,
    attester: &Attester,
    keys: &KeySlots,
    storage: &Storage,
    policy: &RotationPolicy,
) -> Result<Recovered, Fault> {
    let trust_domain = &attester.trust_domain;
    let bundle = match anchor {
        Anchor::Bundle(certificates) => Some(certificates),
        Anchor::Insecure => None,
    };
    // Until a bundle is there, upstream's lines do not name the trust domain.
    let trust_domain_id = bundle.is_some().then(|| trust_domain.id_string());
    let trust_domain_id = trust_domain_id.as_deref();
    let found = if bundle.is_some() { "Bundle loaded" } else { "Bundle is not found" };
    tracing::info!(subsystem_name = "attestor", trust_domain_id, "{found}");
    let all = keys
        .all()
        .await
        .map_err(|error| Fault::new(error.rpc_text()).context("unable to load private key"))?;
    let stored = storage.svid().await;
    if stored.is_none() {
        tracing::debug!(
            subsystem_name = "attestor",
            "No pre-existing agent SVID found. Will perform node attestation"
        );
    }
    let key = stored.as_ref().and_then(|stored| key_of(stored, &all));
    if let (Some(stored), Some(key)) = (&stored, &key)
        && !expires_within(stored, attester.clock.now() + SKEW)
    {
        let Some(bundle) = bundle else { return Err(Fault::new("SVID loaded but no bundle in cache")) };
        let svid = agent_svid(stored.chain.clone(), key.clone(), stored.reattestable, policy)?;
        tracing::info!(
            spiffe_id = svid.id.to_string(),
            subsystem_name = "attestor",
            trust_domain_id,
            "SVID loaded"
        );
        return Ok(Recovered { svid, bundle: own_bundle(trust_domain, &bundle) });
    }
    log_why_not(stored.as_ref(), key.is_some(), all.is_empty());
    let key = keys.generate(key.as_ref().map(|key| key.id())).await;
    let key = key.map_err(|error| Fault::new(error.rpc_text()).context("unable to generate private key"))?;
    tracing::info!(
        subsystem_name = "attestor",
        trust_domain_id,
        "SVID is not found. Starting node attestation"
    );
    let roots: Option<Arc<dyn BundleSource>> = match bundle {
        None => None,
        Some(certificates) => {
            let roots = Roots::new(certificates)
                .map_err(|error| Fault::new(error.to_string()).context("create attestation client"))?;
            Some(Arc::new(FixedRoots(trust_domain.clone(), roots)))
        }
    };
    let new = attester.attest(&*key, roots).await?;
    let bundle = newest_bundle(new.channel, trust_domain).await?;
    let svid = agent_svid(new.chain, key, new.reattestable, policy)?;
    tracing::info!(
        reattestable = svid.reattestable,
        spiffe_id = svid.id.to_string(),
        subsystem_name = "attestor",
        trust_domain_id,
        "Node attestation was successful"
    );
    Ok(Recovered { svid, bundle })
}

pub(super) fn agent_svid(
    chain: Vec<Certificate>,
    key: Arc<dyn ManagedKey>,
    reattestable: bool,
    policy: &RotationPolicy,
) -> Result<AgentSvid, Fault> {
    AgentSvid::new(chain, key, reattestable, policy)
        .ok_or_else(|| Fault::new("the agent's certificate has no SPIFFE ID"))
}

fn key_of(stored: &StoredSvid, keys: &[Arc<dyn ManagedKey>]) -> Option<Arc<dyn ManagedKey>> {
    let public = stored.chain.first()?.public_key().ok()?;
    keys.iter().find(|key| *key.public_key() == public).cloned()
}

fn expires_within(stored: &StoredSvid, until: time::OffsetDateTime) -> bool {
    stored.chain.first().is_none_or(|leaf| until >= leaf.not_after())
}

/// AG-227
fn log_why_not(stored: Option<&StoredSvid>, has_key: bool, no_keys: bool) {
    let leaf = stored.and_then(|stored| stored.chain.first());
    match (leaf, has_key) {
        (Some(leaf), true) => tracing::warn!(
            expiry = spire_runtime::logging::LogValue::Time(leaf.not_after()).as_value(),
            subsystem_name = "attestor",
            "SVID key recovered, but SVID is expired. Generating new keypair"
        ),
        (Some(_), false) if no_keys => tracing::warn!(
            subsystem_name = "attestor",
            "SVID recovered, but no keys found. Generating new keypair"
        ),
        (Some(_), false) => tracing::warn!(
            subsystem_name = "attestor",
            "SVID recovered, but no SVID key found. Generating new keypair"
        ),
        (None, _) if !no_keys => tracing::warn!(
            subsystem_name = "attestor",
            "Keys recovered, but no SVID found. Generating new keypair"
        ),
        (None, _) => {}
    }
}

fn own_bundle(trust_domain: &TrustDomain, certificates: &[Certificate]) -> Bundle {
    let authorities = certificates
        .iter()
        .map(|certificate| X509Authority { der: certificate.der().clone(), tainted: false });
    Bundle { x509_authorities: authorities.collect(), ..Bundle::empty(trust_domain.clone()) }
}

/// What the bootstrap bundle is replaced by (AG-237).
async fn newest_bundle(channel: Channel, trust_domain: &TrustDomain) -> Result<Bundle, Fault> {
    let failed = |fault: Fault| fault.context("failed to get updated bundle");
    let got = BundleClient::new(channel).get_bundle(GetBundleRequest::default()).await;
    // Twice, and once without a colon, as in SPIRE (AG-241).
    let wire = got.map_err(|status| failed(Fault::rpc(&status).prefixed("failed to get updated bundle ")))?;
    let wire = wire.into_inner();
    let bundle = bundle_from_peer(&wire).map_err(|error| {
        failed(Fault::new(error.to_string()).context("failed to parse trust domain bundle"))
    })?;
    if bundle.trust_domain != *trust_domain {
        return Err(failed(Fault::new(format!(
            "the server sent the bundle of trust domain {:?}",
            bundle.trust_domain.as_str()
        ))));
    }
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use spire_crypto::{KeyType, PrivateKey, PublicKey, SignError, SignatureScheme, Signer};
    use spire_net::tls::TlsPolicy;
    use spire_plugin::{KeyManager, PluginError};
    use spire_runtime::{FixedRandom, ManualClock};

    use super::*;
    use crate::identity::Proof;
    use crate::settings::ServerAddress;
    use crate::testing::{NOW, TestCa};

    #[derive(Debug)]
    struct Key(&'static str, PrivateKey);

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
            self.0
        }
    }

    #[derive(Debug)]
    struct Keys(Vec<Arc<dyn ManagedKey>>);

    #[async_trait]
    impl KeyManager for Keys {
        async fn generate_key(&self, id: &str, _: KeyType) -> Result<Arc<dyn ManagedKey>, PluginError> {
            Err(PluginError::internal(format!("asked for {id}")))
        }
        async fn key(&self, _: &str) -> Result<Option<Arc<dyn ManagedKey>>, PluginError> {
            Ok(None)
        }
        async fn keys(&self) -> Result<Vec<Arc<dyn ManagedKey>>, PluginError> {
            Ok(self.0.clone())
        }
    }

    fn attester(clock: &ManualClock) -> Attester {
        Attester {
            proof: Proof::for_tests(),
            server: ServerAddress { host: "server.test".to_owned(), port: 1 },
            trust_domain: TrustDomain::from_name("example.org").unwrap(),
            policy: TlsPolicy::default(),
            clock: clock.shared(),
        }
    }

    #[tokio::test]
    async fn a_stored_identity_is_reused_until_it_expires() {
        // AG-226, AG-229: an agent that restarts while the server is away must come up again.
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at_unix(NOW);
        let ca = TestCa::new("example.org").await;
        let (chain, key) = ca.issue("spiffe://example.org/spire/agent/x509pop/1", 100).await;
        let storage = Storage::open(dir.path()).unwrap();
        storage.store_svid(&chain, true).await.unwrap();
        let keys = KeySlots::new(Arc::new(Keys(vec![Arc::new(Key("agent-svid-A", key))])));
        let policy = RotationPolicy::new(None, Arc::new(FixedRandom(0.5)));
        let anchor = || Anchor::Bundle(vec![ca.certificate.clone()]);

        let attester = attester(&clock);
        let recovered = recover(anchor(), &attester, &keys, &storage, &policy).await.unwrap();
        assert_eq!(recovered.svid.chain, chain);
        assert!(recovered.svid.reattestable);

        clock.advance(Duration::from_secs(99));
        let error = recover(anchor(), &attester, &keys, &storage, &policy).await.unwrap_err();
        assert!(error.to_string().contains("asked for agent-svid-B"), "{error}");

        let none = KeySlots::new(Arc::new(Keys(Vec::new())));
        let error = recover(anchor(), &attester, &none, &storage, &policy).await.unwrap_err();
        assert!(error.to_string().contains("asked for agent-svid-A"), "{error}");
    }
}
