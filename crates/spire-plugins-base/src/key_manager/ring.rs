use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use spire_crypto::{PrivateKey, PublicKey, SignError, SignatureScheme, Signer};
use spire_plugin::ManagedKey;

/// A key in memory under its id.
#[derive(Debug)]
pub(super) struct LocalKey {
    pub(super) id: String,
    pub(super) key: PrivateKey,
}

#[async_trait]
impl Signer for LocalKey {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    async fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.key.sign(scheme, message)?)
    }
}

impl ManagedKey for LocalKey {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Keys by id.
pub(super) type KeyRing = BTreeMap<String, Arc<LocalKey>>;

pub(super) fn found(ring: &KeyRing, id: &str) -> Option<Arc<dyn ManagedKey>> {
    ring.get(id).map(|key| key.clone() as Arc<dyn ManagedKey>)
}

pub(super) fn all(ring: &KeyRing) -> Vec<Arc<dyn ManagedKey>> {
    ring.values().map(|key| key.clone() as Arc<dyn ManagedKey>).collect()
}
