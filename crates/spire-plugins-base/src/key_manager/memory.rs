use std::sync::Arc;

use async_trait::async_trait;
use spire_crypto::{KeyType, PrivateKey};
use spire_plugin::{BuiltIn, KeyManager, ManagedKey, PluginError};
use tokio::sync::RwLock;

use super::ring::{KeyRing, LocalKey, all, found};

/// Keys that end with the process (PL-240).
pub const MEMORY: BuiltIn<dyn KeyManager> = BuiltIn {
    name: "memory",
    configurable: false,
    build: |_, _| Ok(Arc::new(MemoryKeys::default())),
    validate: |_, _| Vec::new(),
};

#[derive(Debug, Default)]
struct MemoryKeys {
    ring: RwLock<KeyRing>,
}

/// Key generation takes milliseconds to seconds, so it leaves the async threads.
pub(super) async fn generate(id: &str, kind: KeyType) -> Result<Arc<LocalKey>, PluginError> {
    if id.is_empty() {
        return Err(PluginError::invalid("failed to generate key: key id is required"));
    }
    let key = tokio::task::spawn_blocking(move || PrivateKey::generate(kind))
        .await
        .map_err(|error| PluginError::internal(format!("failed to generate key: {error}")))?
        .map_err(|error| PluginError::internal(format!("failed to generate key: {error}")))?;
    Ok(Arc::new(LocalKey { id: id.to_owned(), key }))
}

#[async_trait]
impl KeyManager for MemoryKeys {
    async fn generate_key(&self, id: &str, kind: KeyType) -> Result<Arc<dyn ManagedKey>, PluginError> {
        let key = generate(id, kind).await?;
        self.ring.write().await.insert(id.to_owned(), key.clone());
        Ok(key)
    }

    async fn key(&self, id: &str) -> Result<Option<Arc<dyn ManagedKey>>, PluginError> {
        Ok(found(&*self.ring.read().await, id))
    }

    async fn keys(&self) -> Result<Vec<Arc<dyn ManagedKey>>, PluginError> {
        Ok(all(&*self.ring.read().await))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        spire_plugin::contract::check_key_manager(&MemoryKeys::default()).await;
    }
}
