use std::sync::Arc;

use async_trait::async_trait;
use spire_plugin::server::{AgentAttributes, Conversation, NodeAttestor};
use spire_plugin::{BuiltIn, Code, PluginError};

/// Join tokens are judged by the server itself, which owns the table (NA-040);
/// this only lets the name stand in a configuration.
pub const JOIN_TOKEN: BuiltIn<dyn NodeAttestor> = BuiltIn {
    name: "join_token",
    configurable: true,
    build: |_, _| Ok(Arc::new(JoinToken)),
    // NA-033
    validate: |_, data| {
        data.items
            .iter()
            .filter_map(|item| item.keys.first())
            .map(|key| format!("unknown setting {:?} encountered", key.name))
            .collect()
    },
};

#[derive(Debug)]
struct JoinToken;

#[async_trait]
impl NodeAttestor for JoinToken {
    async fn attest(&self, _: &[u8], _: &mut dyn Conversation) -> Result<AgentAttributes, PluginError> {
        let text = "join token attestation is currently implemented within the server";
        Err(PluginError::new(Code::Unimplemented, text))
    }
}
