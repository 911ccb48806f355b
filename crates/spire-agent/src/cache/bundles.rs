use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use spire_crypto::bundle_document::{Contents, DocumentError, marshal};
use spire_crypto::x509::{Roots, X509Error};
use spire_crypto::{KeyError, PublicKey};
use spire_net::tls::BundleSource;
use spire_types::{Bundle, TrustDomain};

/// A bundle that cannot be used; the sync that brought it fails (AG-321).
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("unable to parse X.509 authority of {trust_domain}: {source}")]
    X509 { trust_domain: TrustDomain, source: X509Error },
    #[error("unable to parse JWT authority {key_id:?} of {trust_domain}: {source}")]
    Jwt { trust_domain: TrustDomain, key_id: String, source: KeyError },
    #[error("unable to write the JWT bundle of {trust_domain}: {source}")]
    Document { trust_domain: TrustDomain, source: DocumentError },
}

/// A bundle in all the shapes in which it is asked for.
#[derive(Debug)]
pub struct AgentBundle {
    pub bundle: Bundle,
    pub roots: Roots,
    /// All certificates, DER, one after the other.
    pub x509: Bytes,
    /// JWKS (AG-488).
    pub jwks: Bytes,
    pub jwt_keys: HashMap<String, PublicKey>,
    /// How the trust domain is named to workloads.
    pub name: String,
}

impl AgentBundle {
    pub fn new(mut bundle: Bundle) -> Result<Self, BundleError> {
        // AG-323
        bundle.wit_authorities.clear();
        let trust_domain = || bundle.trust_domain.clone();
        let roots = Roots::of_bundle(&bundle)
            .map_err(|source| BundleError::X509 { trust_domain: trust_domain(), source })?;
        let x509: Vec<u8> =
            bundle.x509_authorities.iter().flat_map(|authority| authority.der.iter().copied()).collect();
        let mut jwt_keys = HashMap::new();
        for authority in &bundle.jwt_authorities {
            let key = PublicKey::from_pkix(&authority.public_key).map_err(|source| BundleError::Jwt {
                trust_domain: trust_domain(),
                key_id: authority.key_id.clone(),
                source,
            })?;
            jwt_keys.insert(authority.key_id.clone(), key);
        }
        let jwks = marshal(&bundle, Contents::JWT_JWKS)
            .map_err(|source| BundleError::Document { trust_domain: trust_domain(), source })?;
        let name = bundle.trust_domain.id_string();
        Ok(Self { roots, x509: x509.into(), jwks: jwks.into(), jwt_keys, name, bundle })
    }

    fn says_the_same(&self, other: &Bundle) -> bool {
        self.bundle.x509_authorities == other.x509_authorities
            && self.bundle.jwt_authorities == other.jwt_authorities
    }
}

/// All bundles that the agent knows; read at every handshake.
#[derive(Debug)]
pub struct BundleSet {
    own: TrustDomain,
    current: ArcSwap<BTreeMap<TrustDomain, Arc<AgentBundle>>>,
}

impl BundleSet {
    pub fn new(own: Bundle) -> Result<Self, BundleError> {
        let trust_domain = own.trust_domain.clone();
        let bundles = BTreeMap::from([(trust_domain.clone(), Arc::new(AgentBundle::new(own)?))]);
        Ok(Self { own: trust_domain, current: ArcSwap::from_pointee(bundles) })
    }

    /// The agent's own.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.own
    }

    pub fn get(&self, trust_domain: &TrustDomain) -> Option<Arc<AgentBundle>> {
        self.current.load().get(trust_domain).cloned()
    }

    /// The own bundle is there from the start and never goes (AG-322).
    pub fn own(&self) -> Option<Arc<AgentBundle>> {
        self.get(&self.own)
    }

    /// Replaces all by these, except that the own one stays if it is not among them. Returns what changed.
    pub fn update(&self, bundles: Vec<Bundle>) -> Result<Vec<TrustDomain>, BundleError> {
        let before = self.current.load_full();
        let mut after = BTreeMap::new();
        let mut changed = Vec::new();
        for bundle in bundles {
            let trust_domain = bundle.trust_domain.clone();
            let known = before.get(&trust_domain);
            if let Some(known) = known.filter(|known| known.says_the_same(&bundle)) {
                after.insert(trust_domain, known.clone());
                continue;
            }
            log(&trust_domain, if known.is_some() { "Bundle updated" } else { "Bundle added" });
            changed.push(trust_domain.clone());
            after.insert(trust_domain, Arc::new(AgentBundle::new(bundle)?));
        }
        if let Some(own) = before.get(&self.own) {
            after.entry(self.own.clone()).or_insert_with(|| own.clone());
        }
        for trust_domain in before.keys().filter(|trust_domain| !after.contains_key(*trust_domain)) {
            log(trust_domain, "Bundle removed");
            changed.push(trust_domain.clone());
        }
        if !changed.is_empty() {
            self.current.store(Arc::new(after));
        }
        Ok(changed)
    }
}

fn log(trust_domain: &TrustDomain, message: &str) {
    tracing::debug!(subsystem_name = "cache_manager", trust_domain_id = trust_domain.as_str(), "{message}");
}

impl BundleSource for BundleSet {
    fn roots(&self, trust_domain: &TrustDomain) -> Option<Roots> {
        Some(self.current.load().get(trust_domain)?.roots.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_bundles_name_the_trust_domain_as_upstream_does() {
        // Who looks for one in the logs of agents of both kinds must find it in both.
        let log = spire_runtime::logging::capture();
        let empty = |name: &str| Bundle::empty(TrustDomain::from_name(name).unwrap());
        let set = BundleSet::new(empty("lab.test")).unwrap();
        set.update(vec![empty("lab.test"), empty("other.test")]).unwrap();
        set.update(vec![empty("lab.test")]).unwrap();
        for message in ["Bundle added", "Bundle removed"] {
            assert_eq!(log.find(message).unwrap().field("trust_domain_id"), "other.test", "{message}");
        }
    }
}
