use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use spire_crypto::KeyType;
use spire_plugin::agent::{self, PinnedProcess, WorkloadAttestor};
use spire_plugin::server::{self, AgentAttributes};
use spire_plugin::{KeyManager, ManagedKey, PluginError};

/// A plugin whose instance may be replaced while it is in use: whoever holds
/// the old one finishes with it, everybody else gets the new one.
///
/// Failures carry the plugin's name (NA-020).
pub struct Live<T: ?Sized> {
    kind: &'static str,
    name: Arc<str>,
    current: Arc<ArcSwap<Arc<T>>>,
}

impl<T: ?Sized> Live<T> {
    pub(crate) fn new(kind: &'static str, name: &str, instance: Arc<T>) -> Self {
        Self { kind, name: name.into(), current: Arc::new(ArcSwap::from_pointee(instance)) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn current(&self) -> Arc<T> {
        let instance: &Arc<T> = &self.current.load();
        instance.clone()
    }

    pub(crate) fn replace(&self, instance: Arc<T>) {
        self.current.store(Arc::new(instance));
    }

    fn named<R>(&self, outcome: Result<R, PluginError>) -> Result<R, PluginError> {
        outcome.map_err(|error| error.of(self.kind, &self.name))
    }
}

impl<T: ?Sized> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, name: self.name.clone(), current: self.current.clone() }
    }
}

impl<T: ?Sized> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.name)
    }
}

#[async_trait]
impl KeyManager for Live<dyn KeyManager> {
    async fn generate_key(&self, id: &str, kind: KeyType) -> Result<Arc<dyn ManagedKey>, PluginError> {
        self.named(self.current().generate_key(id, kind).await)
    }

    async fn key(&self, id: &str) -> Result<Option<Arc<dyn ManagedKey>>, PluginError> {
        self.named(self.current().key(id).await)
    }

    async fn keys(&self) -> Result<Vec<Arc<dyn ManagedKey>>, PluginError> {
        self.named(self.current().keys().await)
    }
}

#[async_trait]
impl server::NodeAttestor for Live<dyn server::NodeAttestor> {
    async fn attest(
        &self,
        payload: &[u8],
        conversation: &mut dyn server::Conversation,
    ) -> Result<AgentAttributes, PluginError> {
        if payload.is_empty() {
            return Err(PluginError::invalid("payload cannot be empty"));
        }
        let attributes = self.named(self.current().attest(payload, conversation).await)?;
        if attributes.spiffe_id.is_empty() {
            return self.named(Err(PluginError::internal("plugin response missing agent ID")));
        }
        Ok(attributes)
    }
}

#[async_trait]
impl agent::NodeAttestor for Live<dyn agent::NodeAttestor> {
    async fn attest(&self, conversation: &mut dyn agent::Conversation) -> Result<(), PluginError> {
        self.named(self.current().attest(conversation).await)
    }
}

#[async_trait]
impl WorkloadAttestor for Live<dyn WorkloadAttestor> {
    async fn attest(&self, process: PinnedProcess<'_>) -> Result<Vec<String>, PluginError> {
        self.named(self.current().attest(process).await)
    }
}
