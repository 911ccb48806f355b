use std::sync::Arc;

use spire_catalog::Live;
use spire_crypto::Signer;
use spire_crypto::x509::{Certificate, CertificateRequest};
use spire_net::channel;
use spire_net::tls::{BundleSource, ClientTls, ServerCheck, TlsPolicy};
use spire_plugin::agent::NodeAttestor;
use spire_runtime::SharedClock;
use spire_types::{SpiffeId, TrustDomain};
use tonic::transport::Channel;

use super::exchange::Exchange;
use super::join_token::JoinTokenProof;
use super::request_subject;
use crate::fault::Fault;
use crate::link::CALL_TIMEOUT;
use crate::settings::{JoinToken, ServerAddress};

/// How the node proves what it is.
#[derive(Debug)]
pub struct Proof {
    name: String,
    attestor: Arc<dyn NodeAttestor>,
}

impl Proof {
    /// A join token goes before the plugin (AG-230).
    pub fn new(plugin: &Live<dyn NodeAttestor>, join_token: Option<JoinToken>) -> Self {
        match join_token {
            Some(token) => Self { name: "join_token".to_owned(), attestor: Arc::new(JoinTokenProof(token)) },
            None => Self { name: plugin.name().to_owned(), attestor: Arc::new(plugin.clone()) },
        }
    }
}

/// What an attestation brings.
#[derive(Debug)]
pub struct NewSvid {
    pub chain: Vec<Certificate>,
    pub reattestable: bool,
    /// The connection on which it was got.
    pub channel: Channel,
}

/// Attests the node to the server, on a connection without a client certificate (AG-234).
#[derive(Debug)]
pub struct Attester {
    pub proof: Proof,
    pub server: ServerAddress,
    pub trust_domain: TrustDomain,
    pub policy: TlsPolicy,
    pub clock: SharedClock,
}

impl Attester {
    /// For an agent that runs already: calls to the server wait for this one, so it must not last.
    pub async fn reattest(&self, key: &dyn Signer, bundles: Arc<dyn BundleSource>) -> Result<NewSvid, Fault> {
        let attested = tokio::time::timeout(CALL_TIMEOUT, self.attest(key, Some(bundles))).await;
        attested.unwrap_or_else(|_| {
            Err(Fault::new("rpc error: code = DeadlineExceeded desc = context deadline exceeded"))
        })
    }

    /// However long it takes: a join token that was sent once is worth nothing afterwards. `bundles` says how the
    /// server is recognised; without, it only has to claim to be it (AG-235).
    pub async fn attest(
        &self,
        key: &dyn Signer,
        bundles: Option<Arc<dyn BundleSource>>,
    ) -> Result<NewSvid, Fault> {
        let id = SpiffeId::server(&self.trust_domain);
        let (server, policy) = match bundles {
            Some(bundles) => (ServerCheck::Svid { id, bundles }, self.policy),
            None => (ServerCheck::Unproven { id }, TlsPolicy::default()),
        };
        let tls = ClientTls { server, identity: None, policy, clock: self.clock.clone() };
        let channel = channel::tls(&self.server.target(), Arc::new(tls))
            .map_err(|error| Fault::new(error.to_string()).context("create attestation client"))?;
        let request = request(key)
            .await
            .map_err(|text| Fault::new(text).context("failed to generate CSR for attestation"))?;
        let mut exchange = Exchange::new(channel.clone(), &self.proof.name, request);
        let attested = self.proof.attestor.attest(&mut exchange).await;
        let (chain, reattestable) = match (exchange.outcome(), attested) {
            (Some(outcome), _) => outcome?,
            (None, Err(error)) => return Err(Fault::new(error.rpc_text())),
            (None, Ok(())) => {
                return Err(Fault::new("plugin closed stream before returning attestation data"));
            }
        };
        Ok(NewSvid { chain, reattestable, channel })
    }
}

/// A request without a name: the server decides who the agent is (AG-238).
pub(super) async fn request(key: &dyn Signer) -> Result<Vec<u8>, String> {
    let subject = request_subject().map_err(|error| error.to_string())?;
    CertificateRequest::create_for(&subject, &[], &[], key).await.map_err(|error| error.to_string())
}

#[cfg(test)]
impl Proof {
    pub fn for_tests() -> Self {
        let token = JoinToken::new("token".to_owned());
        Self { name: "join_token".to_owned(), attestor: Arc::new(JoinTokenProof(token)) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use spire_crypto::{KeyType, PrivateKey};
    use spire_plugin::PluginError;
    use spire_plugin::agent::Conversation;
    use spire_runtime::ManualClock;
    use spire_types::Bundle;

    use super::*;
    use crate::cache::BundleSet;

    /// Takes an hour to find out that it cannot.
    #[derive(Debug)]
    struct Slow;

    #[async_trait]
    impl NodeAttestor for Slow {
        async fn attest(&self, _: &mut dyn Conversation) -> Result<(), PluginError> {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Err(PluginError::internal("found out"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_agent_that_runs_gives_up_an_attestation_that_lasts() {
        // AG-230: at start, whoever gives up after the token was sent never gets in again.
        let trust_domain = TrustDomain::from_name("example.org").unwrap();
        let bundles = Arc::new(BundleSet::new(Bundle::empty(trust_domain.clone())).unwrap());
        let attester = Attester {
            proof: Proof { name: "slow".to_owned(), attestor: Arc::new(Slow) },
            server: ServerAddress { host: "server.test".to_owned(), port: 1 },
            trust_domain,
            policy: TlsPolicy::default(),
            clock: ManualClock::at_unix(0).shared(),
        };
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let error = attester.attest(&key, None).await.unwrap_err().to_string();
        assert!(error.contains("found out"), "{error}");
        let error = attester.reattest(&key, bundles).await.unwrap_err().to_string();
        assert!(error.contains("DeadlineExceeded"), "{error}");
    }
}
