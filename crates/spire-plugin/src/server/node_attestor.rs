use std::net::IpAddr;

use async_trait::async_trait;
use spire_crypto::x509::Roots;

use crate::PluginError;

/// Says which node an agent runs on.
#[async_trait]
pub trait NodeAttestor: Send + Sync + std::fmt::Debug {
    /// Judges a payload; may ask back over the conversation any number of times.
    async fn attest(
        &self,
        payload: &[u8],
        conversation: &mut dyn Conversation,
    ) -> Result<AgentAttributes, PluginError>;
}

/// The other end is the agent that wants to be attested; the host answers for the server.
#[async_trait]
pub trait Conversation: Send {
    /// Sends a challenge and waits for the answer.
    async fn challenge(&mut self, challenge: Vec<u8>) -> Result<Vec<u8>, PluginError>;

    /// Where the agent connects from; `None` if that is not known.
    fn client_address(&self) -> Option<IpAddr>;

    /// The X.509 authorities of the server's own trust domain, as they are now; `None` if there are none.
    fn own_authorities(&self) -> Option<Roots>;
}

/// What attestation found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAttributes {
    pub spiffe_id: String,
    /// Values; their type is the plugin's name.
    pub selector_values: Vec<String>,
    pub can_reattest: bool,
}
