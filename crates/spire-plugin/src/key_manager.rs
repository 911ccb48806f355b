use std::sync::Arc;

use async_trait::async_trait;
use spire_crypto::{KeyType, Signer};

use crate::PluginError;

/// Keeps the private keys of a server or an agent; nothing else signs with them (A10).
#[async_trait]
pub trait KeyManager: Send + Sync + std::fmt::Debug {
    /// Makes a key; one with the same id is gone afterwards (PL-230).
    async fn generate_key(&self, id: &str, kind: KeyType) -> Result<Arc<dyn ManagedKey>, PluginError>;

    async fn key(&self, id: &str) -> Result<Option<Arc<dyn ManagedKey>>, PluginError>;

    /// All keys, sorted by id (PL-231).
    async fn keys(&self) -> Result<Vec<Arc<dyn ManagedKey>>, PluginError>;
}

/// A key that knows its id and can sign.
pub trait ManagedKey: Signer {
    fn id(&self) -> &str;
}
