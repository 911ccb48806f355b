use async_trait::async_trait;
use spire_plugin::PluginError;
use spire_plugin::agent::{Conversation, NodeAttestor};

use crate::settings::JoinToken;

/// A configured token takes the place of the node attestor (AG-230).
#[derive(Debug)]
pub struct JoinTokenProof(pub JoinToken);

#[async_trait]
impl NodeAttestor for JoinTokenProof {
    async fn attest(&self, conversation: &mut dyn Conversation) -> Result<(), PluginError> {
        match conversation.send_payload(self.0.expose().as_bytes().to_vec()).await? {
            None => Ok(()),
            Some(_) => Err(PluginError::internal("server issued unexpected challenge")),
        }
    }
}
