//! The stream on which a node proves what it is (AG-237 to AG-241).

use async_trait::async_trait;
use spire_crypto::x509::Certificate;
use spire_plugin::PluginError;
use spire_plugin::agent::Conversation;
use spire_proto::server::agent::v1::agent_client::AgentClient;
use spire_proto::server::agent::v1::attest_agent_request::{Params, Step};
use spire_proto::server::agent::v1::attest_agent_response::{Result as Attested, Step as Answer};
use spire_proto::server::agent::v1::{AgentX509svidParams, AttestAgentRequest, AttestAgentResponse};
use spire_proto::types::AttestationData;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::fault::Fault;

/// One attestation, as the plugin sees it: payload first, then answers to challenges.
#[derive(Debug)]
pub struct Exchange {
    client: AgentClient<Channel>,
    kind: String,
    request: Vec<u8>,
    open: Option<(mpsc::Sender<AttestAgentRequest>, Streaming<AttestAgentResponse>)>,
    outcome: Option<Result<(Vec<Certificate>, bool), Fault>>,
}

impl Exchange {
    /// `kind` is the name of the attestor, `request` the signing request for the SVID.
    pub fn new(channel: Channel, kind: &str, request: Vec<u8>) -> Self {
        Self { client: AgentClient::new(channel), kind: kind.to_owned(), request, open: None, outcome: None }
    }

    /// The SVID and whether the node may attest again; `None` while the server has not decided.
    pub fn outcome(self) -> Option<Result<(Vec<Certificate>, bool), Fault>> {
        self.outcome
    }

    async fn first(&mut self, request: AttestAgentRequest) -> Result<AttestAgentResponse, Fault> {
        let (sender, requests) = mpsc::channel(1);
        // The server answers the call itself only after it has seen the first message.
        let full = |_| Fault::new("failed to send attestation request to SPIRE server: EOF");
        sender.try_send(request).map_err(full)?;
        let opened = self.client.attest_agent(ReceiverStream::new(requests)).await;
        let stream = opened.map_err(|status| Fault::rpc(&status).context(step_of(&status)))?.into_inner();
        let (_, stream) = self.open.insert((sender, stream));
        received(stream).await
    }

    async fn next(&mut self, request: AttestAgentRequest) -> Result<AttestAgentResponse, Fault> {
        let Some((sender, stream)) = &mut self.open else {
            return Err(Fault::new("plugin response missing attestation payload"));
        };
        // If the server has hung up, its answer says why.
        let _ = sender.send(request).await;
        received(stream).await
    }

    /// A challenge, or the end.
    fn decided(&mut self, response: AttestAgentResponse) -> Result<Option<Vec<u8>>, Fault> {
        let result = match response.step {
            Some(Answer::Challenge(challenge)) => return Ok(Some(challenge.to_vec())),
            Some(Answer::Result(result)) => result,
            None => Attested::default(),
        };
        // Half-closes the stream.
        self.open = None;
        self.outcome = Some(Ok((chain(&result)?, result.reattestable)));
        Ok(None)
    }

    fn conclude(&mut self, step: Result<AttestAgentResponse, Fault>) -> Result<Option<Vec<u8>>, PluginError> {
        step.and_then(|response| self.decided(response)).map_err(|fault| {
            // The plugin must fail; why it did is told by the fault, not by the plugin.
            let error = PluginError::internal(fault.to_string());
            self.outcome = Some(Err(fault));
            error
        })
    }
}

/// Without a connection the stream was never opened; otherwise it is the server who refused (AG-241).
fn step_of(status: &Status) -> &'static str {
    if std::error::Error::source(status).is_some() {
        "could not open attestation stream to SPIRE server"
    } else {
        "failed to receive attestation response"
    }
}

async fn received(stream: &mut Streaming<AttestAgentResponse>) -> Result<AttestAgentResponse, Fault> {
    let failed = |fault: Fault| fault.context("failed to receive attestation response");
    match stream.message().await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(failed(Fault::new("EOF"))),
        Err(status) => Err(failed(Fault::rpc(&status))),
    }
}

/// AG-239
fn chain(result: &Attested) -> Result<Vec<Certificate>, Fault> {
    let failed = |text: String| Fault::new(text).context("failed to parse attestation response");
    let svid = result.svid.as_ref().ok_or_else(|| failed("attest response is missing SVID".to_owned()))?;
    let chain: Result<Vec<_>, _> = svid.cert_chain.iter().map(|der| Certificate::parse(der)).collect();
    let chain = chain.map_err(|error| failed(format!("invalid SVID cert chain: {error}")))?;
    if chain.is_empty() {
        return Err(failed("empty SVID cert chain".to_owned()));
    }
    Ok(chain)
}

#[async_trait]
impl Conversation for Exchange {
    async fn send_payload(&mut self, payload: Vec<u8>) -> Result<Option<Vec<u8>>, PluginError> {
        if payload.is_empty() {
            return Err(PluginError::internal("plugin response missing attestation payload"));
        }
        let request = AttestAgentRequest {
            step: Some(Step::Params(Params {
                data: Some(AttestationData { r#type: self.kind.clone(), payload: payload.into() }),
                params: Some(AgentX509svidParams { csr: self.request.clone().into() }),
            })),
        };
        let step = self.first(request).await;
        self.conclude(step)
    }

    async fn send_response(&mut self, response: Vec<u8>) -> Result<Option<Vec<u8>>, PluginError> {
        if response.is_empty() {
            return Err(PluginError::internal("plugin response missing challenge response"));
        }
        let request = AttestAgentRequest { step: Some(Step::ChallengeResponse(response.into())) };
        let step = self.next(request).await;
        self.conclude(step)
    }
}
