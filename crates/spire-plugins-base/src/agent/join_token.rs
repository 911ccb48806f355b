use std::sync::Arc;

use async_trait::async_trait;
use spire_plugin::agent::{Conversation, NodeAttestor};
use spire_plugin::{BuiltIn, PluginError};

/// Stands in a configuration; a token that was given takes its place (NA-043, NA-044).
pub const JOIN_TOKEN: BuiltIn<dyn NodeAttestor> = BuiltIn {
    name: "join_token",
    configurable: false,
    build: |_, _| Ok(Arc::new(WithoutToken)),
    validate: |_, _| Vec::new(),
};

#[derive(Debug)]
struct WithoutToken;

#[async_trait]
impl NodeAttestor for WithoutToken {
    async fn attest(&self, _: &mut dyn Conversation) -> Result<(), PluginError> {
        Err(PluginError::invalid("join token was not provided"))
    }
}
