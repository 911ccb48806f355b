use async_trait::async_trait;

use crate::PluginError;

/// Proves to the server which node this is.
#[async_trait]
pub trait NodeAttestor: Send + Sync + std::fmt::Debug {
    /// Sends the payload first, then answers whatever the server asks until
    /// it is satisfied.
    async fn attest(&self, conversation: &mut dyn Conversation) -> Result<(), PluginError>;
}

/// The other end is the server.
#[async_trait]
pub trait Conversation: Send {
    /// Sends the payload; `Some` is a challenge, `None` means that the server is satisfied.
    async fn send_payload(&mut self, payload: Vec<u8>) -> Result<Option<Vec<u8>>, PluginError>;

    /// Answers the last challenge; `Some` is the next one.
    async fn send_response(&mut self, response: Vec<u8>) -> Result<Option<Vec<u8>>, PluginError>;
}
