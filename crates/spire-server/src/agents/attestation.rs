//! A node becomes an agent (SA-044 to SA-058).

use std::net::IpAddr;

use async_trait::async_trait;
use spire_crypto::x509::Roots;
use spire_datastore::AttestationOutcome;
use spire_plugin::server::{Conversation, NodeAttestor as _};
use spire_plugin::{Code as PluginCode, PluginError};
use spire_proto::convert::svid::x509_svid_to_wire;
use spire_proto::server::agent::v1::attest_agent_request::{Params, Step as RequestStep};
use spire_proto::server::agent::v1::attest_agent_response::{Result as AttestResult, Step};
use spire_proto::server::agent::v1::{AttestAgentRequest, AttestAgentResponse};
use spire_runtime::logging::{LogLevel, go_quote};
use spire_types::{AttestedAgent, Selector, SpiffeId};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use super::renewal::{serial_of, sign};
use crate::access::{AuditFields, Call};
use crate::core::Core;
use crate::status::ApiError;

type Replies = mpsc::Sender<Result<AttestAgentResponse, Status>>;

/// What an attestor found out.
struct Attested {
    id: String,
    selectors: Vec<Selector>,
    can_reattest: bool,
}

/// Holds the whole conversation; the result is the last message.
pub async fn attest(
    core: &Core,
    call: &Call,
    mut requests: Streaming<AttestAgentRequest>,
    replies: &Replies,
) -> Result<AttestAgentResponse, ApiError> {
    // This task does not end with its caller; a turn that nobody waits for is given back (SA-191).
    let refusal = "rejecting request due to attest agent rate limiting";
    tokio::select! {
        limited = call.limit(1, refusal) => limited?,
        () = replies.closed() => return Err(ApiError::because(Code::Cancelled, refusal, "context canceled")),
    }
    let first = receive_first(&mut requests).await?;
    let (kind, payload, csr) = checked(&first)?;
    call.note(|| AuditFields::new().text("node_attestor_type", kind));
    let attested = match kind {
        "join_token" => join_token(core, payload).await,
        _ => by_plugin(core, call, kind, payload, &mut requests, replies).await,
    };
    let of_kind = |error: ApiError| error.about("node_attestor_type", kind);
    let attested = attested.map_err(of_kind)?;
    let id = agent_id(core, call, kind, &attested.id).map_err(of_kind)?;
    let admitted = admit(core, call, kind, csr, &id, attested).await;
    admitted.map_err(|error| of_kind(error).about("agent_id", &id))
}

/// Makes the attested node an agent, unless it is banned.
async fn admit(
    core: &Core,
    call: &Call,
    kind: &str,
    csr: &[u8],
    id: &SpiffeId,
    attested: Attested,
) -> Result<AttestAgentResponse, ApiError> {
    call.note(|| AuditFields::new().with("agent_id", id.to_string()));
    refuse_banned(core, id).await?;
    let svid = sign(core, id, csr).await?;
    let agent = AttestedAgent {
        spiffe_id: id.to_string(),
        attestation_type: kind.to_owned(),
        serial_number: serial_of(&svid)?,
        not_after: svid.expires_at,
        new_serial_number: String::new(),
        new_not_after: 0,
        can_reattest: attested.can_reattest,
        agent_version: String::new(),
        selectors: selectors_of(core, id, attested.selectors),
    };
    store(core, agent).await?;
    let address = call.caller().address.map(|address| address.to_string()).unwrap_or_default();
    let fields = AuditFields::new()
        .with("address", address)
        .with("agent_id", id.to_string())
        .with("node_attestor_type", kind);
    call.log(LogLevel::Info, "Agent attestation request completed", fields);
    let result = AttestResult { svid: Some(x509_svid_to_wire(&svid)), reattestable: attested.can_reattest };
    Ok(AttestAgentResponse { step: Some(Step::Result(result)) })
}

async fn receive_first(requests: &mut Streaming<AttestAgentRequest>) -> Result<AttestAgentRequest, ApiError> {
    let failed = |cause: String| ApiError::invalid_because("failed to receive request from stream", cause);
    match requests.message().await {
        Ok(Some(request)) => Ok(request),
        Ok(None) => Err(failed("EOF".to_owned())),
        Err(status) => Err(failed(status.message().to_owned())),
    }
}

/// SA-046
fn checked(request: &AttestAgentRequest) -> Result<(&str, &[u8], &[u8]), ApiError> {
    let malformed = |what: &str| ApiError::invalid_because("malformed param", what);
    let Some(RequestStep::Params(Params { data, params })) = &request.step else {
        return Err(malformed("missing params"));
    };
    let data = data.as_ref().ok_or_else(|| malformed("missing attestation data"))?;
    let params = params.as_ref().ok_or_else(|| malformed("missing X509-SVID parameters"))?;
    if params.csr.is_empty() {
        return Err(malformed("missing CSR"));
    }
    if data.r#type.is_empty() {
        return Err(malformed("missing attestation data type"));
    }
    if data.payload.is_empty() {
        return Err(malformed("missing attestation data payload"));
    }
    Ok((&data.r#type, &data.payload, &params.csr))
}

/// The token is taken before its age is looked at, so it is good once (SA-047).
async fn join_token(core: &Core, payload: &[u8]) -> Result<Attested, ApiError> {
    let unknown =
        || ApiError::invalid("failed to attest: join token does not exist or has already been used");
    let token = std::str::from_utf8(payload).map_err(|_| unknown())?;
    let found = core.datastore.take_join_token(token).await;
    let found = found
        .map_err(|error| ApiError::internal("failed to fetch join token", error))?
        .ok_or_else(unknown)?;
    let expired = OffsetDateTime::from_unix_timestamp(found.expires_at).is_ok_and(|at| at < core.clock.now());
    if expired {
        return Err(ApiError::invalid("join token expired"));
    }
    let id = SpiffeId::join_token_agent(&core.settings.trust_domain, token)
        .map_err(|error| ApiError::internal("failed to create join token ID", error))?;
    Ok(Attested { id: id.to_string(), selectors: Vec::new(), can_reattest: false })
}

/// The agent at the other end of the stream.
struct OverStream<'a> {
    core: &'a Core,
    client: Option<IpAddr>,
    requests: &'a mut Streaming<AttestAgentRequest>,
    replies: &'a Replies,
}

#[async_trait]
impl Conversation for OverStream<'_> {
    async fn challenge(&mut self, challenge: Vec<u8>) -> Result<Vec<u8>, PluginError> {
        let message = AttestAgentResponse { step: Some(Step::Challenge(challenge.into())) };
        if self.replies.send(Ok(message)).await.is_err() {
            return Err(PluginError::internal("failed to send challenge to agent: the agent has gone"));
        }
        let failed =
            |cause: &str| PluginError::internal(format!("failed to receive challenge from agent: {cause}"));
        match self.requests.message().await {
            Ok(Some(AttestAgentRequest { step: Some(RequestStep::ChallengeResponse(response)) })) => {
                Ok(response.to_vec())
            }
            Ok(Some(_)) => Ok(Vec::new()),
            Ok(None) => Err(failed("EOF")),
            Err(status) => Err(failed(status.message())),
        }
    }

    fn client_address(&self) -> Option<IpAddr> {
        self.client
    }

    fn own_authorities(&self) -> Option<Roots> {
        self.core.bundles.own().map(|bundle| bundle.roots.clone())
    }
}

async fn by_plugin(
    core: &Core,
    call: &Call,
    kind: &str,
    payload: &[u8],
    requests: &mut Streaming<AttestAgentRequest>,
    replies: &Replies,
) -> Result<Attested, ApiError> {
    let attestor = core.plugins.node_attestors.get(kind).ok_or_else(|| {
        let cause = format!("could not find node attestor type {}", go_quote(kind));
        ApiError::because(Code::FailedPrecondition, "error getting node attestor", cause)
    })?;
    let mut conversation = OverStream { core, client: call.caller().ip(), requests, replies };
    let attributes = attestor.attest(payload, &mut conversation).await;
    let attributes = attributes.map_err(|error| ApiError::new(plugin_code(error.code), error.message))?;
    let selectors = attributes.selector_values.iter().map(|value| Selector::unchecked(kind, value)).collect();
    Ok(Attested { id: attributes.spiffe_id, selectors, can_reattest: attributes.can_reattest })
}

fn plugin_code(code: PluginCode) -> Code {
    match code {
        PluginCode::Cancelled => Code::Cancelled,
        PluginCode::Unknown => Code::Unknown,
        PluginCode::InvalidArgument => Code::InvalidArgument,
        PluginCode::DeadlineExceeded => Code::DeadlineExceeded,
        PluginCode::NotFound => Code::NotFound,
        PluginCode::AlreadyExists => Code::AlreadyExists,
        PluginCode::PermissionDenied => Code::PermissionDenied,
        PluginCode::ResourceExhausted => Code::ResourceExhausted,
        PluginCode::FailedPrecondition => Code::FailedPrecondition,
        PluginCode::Unimplemented => Code::Unimplemented,
        PluginCode::Internal => Code::Internal,
        PluginCode::Unavailable => Code::Unavailable,
        PluginCode::Unauthenticated => Code::Unauthenticated,
    }
}

/// SA-052
fn agent_id(core: &Core, call: &Call, kind: &str, id: &str) -> Result<SpiffeId, ApiError> {
    let id: SpiffeId = id.parse().map_err(|error| ApiError::internal("invalid agent ID", error))?;
    if id.path() == "/spire/server" {
        return Err(ApiError::new(Code::Internal, "agent ID cannot collide with the server ID"));
    }
    let trust_domain = &core.settings.trust_domain;
    let outside = if !id.is_member_of(trust_domain) {
        Some(format!("\"{id}\" is not a member of trust domain \"{trust_domain}\""))
    } else if !id.path().starts_with(&format!("/spire/agent/{kind}/")) {
        Some(format!("\"{id}\" is not in the agent namespace for attestor {}", go_quote(kind)))
    } else {
        None
    };
    if let Some(error) = outside {
        let fields = AuditFields::new()
            .with("agent_id", id.to_string())
            .with("error", error)
            .with("node_attestor_type", kind);
        call.log(
            LogLevel::Warn,
            "The node attestor produced an invalid agent ID; future releases will enforce that agent IDs are within the reserved agent namesepace for the node attestor",
            fields,
        );
    }
    Ok(id)
}

fn selectors_of(core: &Core, id: &SpiffeId, mut selectors: Vec<Selector>) -> Vec<Selector> {
    if core.settings.agent_spiffe_id_as_selector {
        selectors.push(Selector::unchecked("spiffe_id", &id.to_string()));
    }
    selectors
}

fn banned() -> ApiError {
    ApiError::new(Code::PermissionDenied, "failed to attest: agent is banned")
}

/// Nothing is signed for an agent that is known to be banned. The index may not know yet: [`store`] has the last word.
async fn refuse_banned(core: &Core, id: &SpiffeId) -> Result<(), ApiError> {
    if core.entries.agent(id).is_none_or(|agent| !agent.agent.is_banned()) {
        return Ok(());
    }
    let known = core.datastore.fetch_agent(&id.to_string()).await;
    let known = known.map_err(|error| ApiError::internal("failed to fetch agent", error))?;
    if known.is_some_and(|agent| agent.is_banned()) { Err(banned()) } else { Ok(()) }
}

async fn store(core: &Core, agent: AttestedAgent) -> Result<(), ApiError> {
    match core.datastore.record_attestation(agent).await {
        Ok(AttestationOutcome::Stored) => Ok(()),
        Ok(AttestationOutcome::Banned) => Err(banned()),
        Err(error) => Err(ApiError::internal("failed to create attested agent", error)),
    }
}
