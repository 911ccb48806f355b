use std::sync::Arc;

use spire_datastore::ListAgents;
use spire_proto::convert::agent::agent_to_wire;
use spire_proto::convert::id::{agent_id, workload_id};
use spire_proto::convert::selector::{selector_match_behavior, selectors};
use spire_proto::server::agent::v1::agent_server::Agent;
use spire_proto::server::agent::v1::{
    AttestAgentRequest, AttestAgentResponse, BanAgentRequest, CountAgentsRequest, CountAgentsResponse,
    CreateJoinTokenRequest, DeleteAgentRequest, GetAgentRequest, ListAgentsRequest, ListAgentsResponse,
    PostStatusRequest, PostStatusResponse, RenewAgentRequest, RenewAgentResponse, count_agents_request,
    list_agents_request,
};
use spire_proto::types;
use spire_runtime::logging::LogLevel;
use spire_types::go_text::quote_char;
use spire_types::{AgentMask, AttestedAgent, Entry, JoinToken, MatchBehavior, Selector, SpiffeId};
use time::macros::{datetime, format_description};
use time::{Date, Duration, OffsetDateTime, PrimitiveDateTime, Time};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use uuid::Uuid;

use super::page;
use super::task::apart;
use crate::access::{AuditFields, Call};
use crate::agents;
use crate::core::Core;
use crate::status::ApiError;

/// Bytes (SA-061).
const MAX_VERSION: usize = 255;

/// `spire.api.server.agent.v1.Agent` (SA-034 to SA-065).
#[derive(Debug, Clone)]
pub struct AgentApi(pub Arc<Core>);

/// The same filter comes as two messages.
struct Filter {
    attestation_type: String,
    selectors: Option<types::SelectorMatch>,
    banned: Option<bool>,
    can_reattest: Option<bool>,
    expires_before: String,
}

impl From<count_agents_request::Filter> for Filter {
    fn from(f: count_agents_request::Filter) -> Self {
        Self {
            attestation_type: f.by_attestation_type,
            selectors: f.by_selector_match,
            banned: f.by_banned,
            can_reattest: f.by_can_reattest,
            expires_before: f.by_expires_before,
        }
    }
}

impl From<list_agents_request::Filter> for Filter {
    fn from(f: list_agents_request::Filter) -> Self {
        Self {
            attestation_type: f.by_attestation_type,
            selectors: f.by_selector_match,
            banned: f.by_banned,
            can_reattest: f.by_can_reattest,
            expires_before: f.by_expires_before,
        }
    }
}

impl Filter {
    /// `failure` is what the RPC says when the datastore refuses. The second part of the answer is what it has against
    /// the filter after all else was looked at (SA-037).
    fn resolve(self, call: &Call, failure: &str) -> Result<(ListAgents, Option<ApiError>), ApiError> {
        call.note(|| {
            let mut fields = AuditFields::new().text("node_attestor_type", self.attestation_type.as_str());
            if let Some(banned) = self.banned {
                fields = fields.with("by_banned", banned);
            }
            if let Some(can_reattest) = self.can_reattest {
                fields = fields.with("by_can_reattest", can_reattest);
            }
            match &self.selectors {
                Some(wanted) => selector_fields(fields, wanted),
                None => fields,
            }
        });
        let mut refused = None;
        let by_selectors = match &self.selectors {
            None => None,
            Some(wanted) => {
                let list = selectors(&wanted.selectors)
                    .map_err(|error| ApiError::invalid_because("failed to parse selectors", error))?;
                let behavior = selector_match_behavior(wanted.r#match).unwrap_or_else(|| {
                    let number = go_rune(wanted.r#match);
                    let cause = format!("datastore-sql: unhandled match behavior {number}");
                    refused = Some(ApiError::internal(failure, cause));
                    MatchBehavior::Any
                });
                Some((list, behavior))
            }
        };
        let list = ListAgents {
            by_attestation_type: Some(self.attestation_type).filter(|text| !text.is_empty()),
            by_banned: self.banned,
            by_can_reattest: self.can_reattest,
            by_expires_before: go_time(&self.expires_before),
            by_selectors,
            ..ListAgents::default()
        };
        Ok((list, refused))
    }
}

/// `by_selector_match` and `by_selectors` of audit lines (SA-198, SA-199).
pub(super) fn selector_fields(fields: AuditFields, wanted: &types::SelectorMatch) -> AuditFields {
    let behavior = types::selector_match::MatchBehavior::try_from(wanted.r#match);
    let name = behavior.map_or_else(|_| wanted.r#match.to_string(), |b| b.as_str_name().to_owned());
    fields.with("by_selector_match", name).with("by_selectors", selector_list(&wanted.selectors))
}

pub(super) fn selector_list(list: &[types::Selector]) -> String {
    let texts: Vec<String> = list.iter().map(|s| format!("{}:{}", s.r#type, s.value)).collect();
    texts.join(",")
}

/// An enumeration's number that Go prints as a quoted character.
pub(super) fn go_rune(number: i32) -> String {
    quote_char(u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// `2006-01-02 15:04:05 -0700 -07` as Go reads it, where the second zone counts; anything else and Go's zero time are no
/// filter (SA-035).
fn go_time(text: &str) -> Option<OffsetDateTime> {
    if text.starts_with(' ') || text.ends_with(' ') {
        return None;
    }
    let parts: Vec<&str> = text.split(' ').filter(|part| !part.is_empty()).collect();
    let [date, clock, zone, short_zone] = parts[..] else { return None };
    if !date.starts_with(|first: char| first.is_ascii_digit()) || zone.len() != 5 || short_zone.len() != 3 {
        return None;
    }
    let date = Date::parse(date, format_description!("[year]-[month]-[day]")).ok()?;
    let clock_format =
        format_description!(version = 2, "[hour padding:none]:[minute]:[second][optional [.[subsecond]]]");
    let clock = Time::parse(&clock.replacen(',', ".", 1), clock_format).ok()?;
    zone_offset(zone)?;
    // A moment that is beyond all others in UTC is no filter.
    let at = PrimitiveDateTime::new(date, clock).assume_utc().checked_sub(zone_offset(short_zone)?)?;
    (at != datetime!(0001-01-01 0:00 UTC)).then_some(at)
}

/// `+07` or `+0700`. A whole day and a whole hour are taken, too.
fn zone_offset(text: &str) -> Option<Duration> {
    let digits = text.strip_prefix(['+', '-']).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let (hours, minutes) = digits.split_at_checked(2)?;
    let hours: i64 = hours.parse().ok()?;
    let minutes: i64 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    let offset = Duration::minutes(hours * 60 + minutes);
    let taken = hours <= 24 && minutes <= 60;
    taken.then_some(if text.starts_with('-') { -offset } else { offset })
}

impl AgentApi {
    fn id(&self, call: &Call, id: Option<&types::Spiffeid>) -> Result<SpiffeId, ApiError> {
        let id = agent_id(&self.0.settings.trust_domain, id)
            .map_err(|error| ApiError::invalid_because("invalid agent ID", error))?;
        call.note(|| AuditFields::new().with("spiffe_id", id.to_string()));
        Ok(id)
    }

    async fn count(&self, call: &Call, request: CountAgentsRequest) -> Result<CountAgentsResponse, ApiError> {
        let failure = "failed to count agents";
        let filter = request.filter.map(Filter::from).map(|f| f.resolve(call, failure)).transpose()?;
        let (filter, refused) = filter.unwrap_or_default();
        let count = self.0.datastore.count_agents(&filter).await;
        let count = count.map_err(|error| ApiError::internal(failure, error))?;
        refused.map_or(Ok(()), Err)?;
        Ok(CountAgentsResponse { count: i32::try_from(count).unwrap_or(i32::MAX) })
    }

    async fn list(&self, call: &Call, request: ListAgentsRequest) -> Result<ListAgentsResponse, ApiError> {
        let failure = "failed to list agents";
        let filter = request.filter.map(Filter::from).map(|f| f.resolve(call, failure)).transpose()?;
        let (filter, refused) = filter.unwrap_or_default();
        let mask = request.output_mask;
        let query = ListAgents {
            page: page(request.page_size, request.page_token),
            fetch_selectors: mask.as_ref().is_none_or(|mask| mask.selectors),
            ..filter
        };
        let (found, next_page_token) =
            self.0.datastore.list_agents(&query).await.map_err(|error| ApiError::internal(failure, error))?;
        refused.map_or(Ok(()), Err)?;
        let mut agents = Vec::with_capacity(found.len());
        for agent in &found {
            match agent_to_wire(agent, mask.as_ref()) {
                Ok(wire) => agents.push(wire),
                Err(error) => {
                    let fields = AuditFields::new()
                        .with("error", error.to_string())
                        .with("spiffe_id", agent.spiffe_id.as_str());
                    call.log(LogLevel::Warn, "Failed to parse agent", fields);
                }
            }
        }
        Ok(ListAgentsResponse { agents, next_page_token })
    }

    async fn get(&self, call: &Call, request: GetAgentRequest) -> Result<types::Agent, ApiError> {
        let id = self.id(call, request.id.as_ref())?.to_string();
        let agent = self.0.datastore.fetch_agent(&id).await;
        let agent = agent
            .map_err(|error| ApiError::internal("failed to fetch agent", error).about("spiffe_id", &id))?;
        let mut agent =
            agent.ok_or_else(|| ApiError::not_found("agent not found").about("spiffe_id", &id))?;
        let selectors = self.0.datastore.agent_selectors(&id).await;
        agent.selectors = selectors.map_err(|error| {
            ApiError::internal("failed to get selectors from agent", error).about("spiffe_id", &id)
        })?;
        agent_to_wire(&agent, request.output_mask.as_ref())
            .map_err(|error| ApiError::internal("failed to convert attested node to agent", error))
    }

    async fn delete(&self, call: &Call, request: DeleteAgentRequest) -> Result<(), ApiError> {
        let id = self.id(call, request.id.as_ref())?.to_string();
        match self.0.datastore.delete_agent(&id).await {
            Ok(_) => {
                call.log(LogLevel::Info, "Agent deleted", AuditFields::new().with("spiffe_id", id));
                Ok(())
            }
            Err(error) if error.is_not_found() => {
                Err(ApiError::not_found("agent not found").about("spiffe_id", id))
            }
            Err(error) => Err(ApiError::internal("failed to remove agent", error).about("spiffe_id", id)),
        }
    }

    /// Both serial numbers become empty; that is what banned means (SA-043).
    async fn ban(&self, call: &Call, request: BanAgentRequest) -> Result<(), ApiError> {
        let id = self.id(call, request.id.as_ref())?.to_string();
        let mask = AgentMask { serial_number: true, new_serial_number: true, ..AgentMask::default() };
        match self.0.datastore.update_agent(&id, &AttestedAgent::default(), &mask).await {
            Ok(_) => {
                call.log(LogLevel::Info, "Agent banned", AuditFields::new().with("spiffe_id", id));
                Ok(())
            }
            Err(error) if error.is_not_found() => {
                Err(ApiError::not_found("agent not found").about("spiffe_id", id))
            }
            Err(error) => Err(ApiError::internal("failed to ban agent", error).about("spiffe_id", id)),
        }
    }

    /// SA-061
    async fn status(&self, call: &Call, request: PostStatusRequest) -> Result<PostStatusResponse, ApiError> {
        call.limit(1, "rejecting request due to post status rate limiting").await?;
        let id = call
            .caller()
            .id
            .as_ref()
            .map(ToString::to_string)
            .ok_or_else(|| ApiError::new(Code::Internal, "caller ID missing from request context"))?;
        call.note(|| AuditFields::new().with("spiffe_id", id.as_str()));
        let agent_version = request.agent_version;
        if agent_version.is_empty() {
            return Ok(PostStatusResponse {});
        }
        if agent_version.len() > MAX_VERSION {
            let text = format!("agent version is too long (max {MAX_VERSION} characters)");
            return Err(ApiError::invalid(text).about("spiffe_id", id));
        }
        let version = AuditFields::new().with("agent_version", agent_version.as_str());
        call.note(|| version.clone());
        let values = AttestedAgent { agent_version, ..AttestedAgent::default() };
        let mask = AgentMask { agent_version: true, ..AgentMask::default() };
        match self.0.datastore.update_agent(&id, &values, &mask).await {
            Ok(_) => {
                call.log(LogLevel::Debug, "Agent status updated", version.with("spiffe_id", id));
                Ok(PostStatusResponse {})
            }
            Err(error) if error.is_not_found() => {
                Err(ApiError::not_found("agent not found").about("spiffe_id", id))
            }
            Err(error) => Err(ApiError::internal("failed to update agent", error).about("spiffe_id", id)),
        }
    }

    async fn token(
        &self,
        call: &Call,
        request: CreateJoinTokenRequest,
    ) -> Result<types::JoinToken, ApiError> {
        call.note(|| match request.ttl {
            ..=0 => AuditFields::new(),
            ttl => AuditFields::new().with("ttl", ttl),
        });
        if request.ttl < 1 {
            return Err(ApiError::invalid("ttl is required, you must provide one"));
        }
        let alias = match &request.agent_id {
            None => None,
            Some(id) => {
                let id = workload_id(&self.0.settings.trust_domain, Some(id))
                    .map_err(|error| ApiError::invalid_because("invalid agent ID", error))?;
                call.note(|| AuditFields::new().with("spiffe_id", id.to_string()));
                Some(id)
            }
        };
        let token = match request.token.is_empty() {
            true => Uuid::new_v4().to_string(),
            false => request.token,
        };
        let expires_at = self.0.clock.unix() + i64::from(request.ttl);
        let stored =
            self.0.datastore.create_join_token(&JoinToken { token: token.clone(), expires_at }).await;
        stored.map_err(|error| ApiError::internal("failed to create token", error))?;
        if let Some(alias) = alias {
            self.create_alias(&token, alias).await?;
        }
        Ok(types::JoinToken { value: token, expires_at })
    }

    /// SA-064
    async fn create_alias(&self, token: &str, spiffe_id: SpiffeId) -> Result<(), ApiError> {
        let failure = "failed to create join token registration entry";
        let parent_id =
            SpiffeId::join_token_agent(&self.0.settings.trust_domain, token).map_err(|error| {
                ApiError::internal(failure, format!("failed to create join token ID: {error}"))
            })?;
        let of_agent = Selector::unchecked("spiffe_id", &parent_id.to_string());
        let entry = Entry::new(spiffe_id, parent_id, vec![of_agent]);
        let created = self.0.datastore.create_entry(&entry).await;
        created.map(drop).map_err(|error| ApiError::internal(failure, error))
    }
}

#[tonic::async_trait]
impl Agent for AgentApi {
    async fn count_agents(
        &self,
        request: Request<CountAgentsRequest>,
    ) -> Result<Response<CountAgentsResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.count(&call, request.into_inner()).await)
    }

    async fn list_agents(
        &self,
        request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let call = Call::of(&request)?;
        let (api, request) = (self.clone(), request.into_inner());
        let everything = request.filter.is_none() && request.page_size == 0;
        let work = async move { call.conclude(api.list(&call, request).await) };
        if everything { apart(work).await } else { work.await }
    }

    async fn get_agent(&self, request: Request<GetAgentRequest>) -> Result<Response<types::Agent>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.get(&call, request.into_inner()).await)
    }

    async fn delete_agent(&self, request: Request<DeleteAgentRequest>) -> Result<Response<()>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.delete(&call, request.into_inner()).await)
    }

    async fn ban_agent(&self, request: Request<BanAgentRequest>) -> Result<Response<()>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.ban(&call, request.into_inner()).await)
    }

    type AttestAgentStream = ReceiverStream<Result<AttestAgentResponse, Status>>;

    async fn attest_agent(
        &self,
        request: Request<Streaming<AttestAgentRequest>>,
    ) -> Result<Response<Self::AttestAgentStream>, Status> {
        let call = Call::of(&request)?;
        let core = self.0.clone();
        let (replies, stream) = mpsc::channel(1);
        // Ends with the stream: either side's end makes the other fail.
        tokio::spawn(async move {
            let outcome = agents::attest(&core, &call, request.into_inner(), &replies).await;
            let reply = call.conclude(outcome).map(Response::into_inner);
            let _ = replies.send(reply).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn renew_agent(
        &self,
        request: Request<RenewAgentRequest>,
    ) -> Result<Response<RenewAgentResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(agents::renew(&self.0, &call, request.into_inner()).await)
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<types::JoinToken>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.token(&call, request.into_inner()).await)
    }

    async fn post_status(
        &self,
        request: Request<PostStatusRequest>,
    ) -> Result<Response<PostStatusResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.status(&call, request.into_inner()).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_filters_are_read_in_gos_layout_only() {
        // SA-035
        let read = go_time("2026-01-31 10:00:00 +0100 +01").unwrap();
        assert_eq!(read.unix_timestamp(), 1_769_850_000);
        // Go lets the second zone win.
        assert_eq!(go_time("2026-01-31 10:00:00 +0530 +01"), Some(read));
        for text in [
            "2026-01-31  9:00:00 +0000  +00",
            "2026-01-31 09:00:00.0 +0000 +00",
            "2026-01-31 09:00:00,0 +0000 +00",
            "2026-01-31 09:00:00 +0060 +00",
            "2026-01-30 09:00:00 +0000 -24",
            "2026-02-01 09:00:00 -2400 +24",
        ] {
            assert_eq!(go_time(text), Some(read), "{text}");
        }
        for text in [
            "",
            "2026-01-31T10:00:00Z",
            "2026-01-31 10:00:00 +0000 UTC",
            "2026-01-31 10:00:00 +0000 +1",
            "2026-01-31 10:00:00 +0000 +00 ",
            "+2026-01-31 10:00:00 +0000 +00",
            "2026-01-31 10:00:00 +2500 +00",
            "2026-01-31 10:00:00 +0061 +00",
            "2026-01-31 10:00:00 +0000 +25",
            "2026-01-31 10:00:00 +00:0 +00",
            "0001-01-01 00:00:00 +0000 +00",
        ] {
            assert_eq!(go_time(text), None, "{text}");
        }
    }

    #[test]
    fn unknown_match_numbers_are_shown_as_go_shows_characters() {
        // SA-028, SA-037
        for (number, shown) in [
            (9, "'\\t'"),
            (34, "'\"'"),
            (39, "'\\''"),
            (92, "'\\\\'"),
            (65, "'A'"),
            (127, "'\\x7f'"),
            (128, "'\\u0080'"),
            (173, "'\\u00ad'"),
            (233, "'é'"),
            (8232, "'\\u2028'"),
            (0xd800, "'\u{fffd}'"),
            (-1, "'\u{fffd}'"),
        ] {
            assert_eq!(go_rune(number), shown);
        }
    }
}
