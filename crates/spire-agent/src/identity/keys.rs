use std::sync::Arc;

use spire_crypto::KeyType;
use spire_plugin::{KeyManager, ManagedKey, PluginError};

const SLOTS: [&str; 2] = ["agent-svid-A", "agent-svid-B"];

/// The agent's own keys: two slots, so that the old key is there until the new one is in use (AG-229).
#[derive(Debug, Clone)]
pub struct KeySlots(Arc<dyn KeyManager>);

impl KeySlots {
    pub fn new(key_manager: Arc<dyn KeyManager>) -> Self {
        Self(key_manager)
    }

    pub async fn all(&self) -> Result<Vec<Arc<dyn ManagedKey>>, PluginError> {
        let keys = self.0.keys().await?;
        Ok(keys.into_iter().filter(|key| SLOTS.contains(&key.id())).collect())
    }

    /// Makes a key in the slot that is not the current one's.
    pub async fn generate(&self, current: Option<&str>) -> Result<Arc<dyn ManagedKey>, PluginError> {
        let slot = if current == Some(SLOTS[0]) { SLOTS[1] } else { SLOTS[0] };
        self.0.generate_key(slot, KeyType::EcP256).await
    }
}
