//! Stands before every handler: finds out who calls, and whether they may
//! (SA-164 to SA-178).

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use spire_datastore::{Datastore, ListEntries};
use spire_net::incoming::ConnectInfo;
use spire_net::local::LocalPeer;
use spire_net::serve::{deadline, reworded_response, unknown_method};
use spire_proto::rpc_status::permission_denied_details;
use spire_proto::types::permission_denied_details::Reason;
use spire_runtime::SharedClock;
use spire_runtime::logging::LogLevel;
use spire_types::SpiffeId;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::audit::AuditFields;
use super::call::Call;
use super::caller::{Authority, Caller};
use super::rate_limit::RateLimits;
use super::table::Row;
use crate::agents::AgentDirectory;
use crate::status::ApiError;

/// Which door a call came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    Tcp,
    Local,
}

impl Listener {
    /// What a listener does not offer is unknown there, not forbidden.
    fn offers(self, row: &Row) -> bool {
        match self {
            Self::Local => !row.method.starts_with("/spirers.doorbell.v1.Doorbell/"),
            Self::Tcp => !row.local_only,
        }
    }

    fn unknown(self, path: &str) -> Status {
        unknown_method(path, |service| Row::of_service(service).any(|row| self.offers(row)))
    }
}

/// What decides about callers.
#[derive(Debug)]
pub struct Access {
    pub admin_ids: HashSet<SpiffeId>,
    pub datastore: Datastore,
    pub agents: Arc<AgentDirectory>,
    pub limits: Arc<RateLimits>,
    pub audit: bool,
    pub clock: SharedClock,
}

impl Access {
    async fn admit(
        &self,
        row: &'static Row,
        caller: Caller,
        deadline: Option<Duration>,
    ) -> Result<Call, ApiError> {
        let peer_fields = match &caller.local_peer {
            Some(peer) if self.audit => peer_fields(peer)?,
            _ => AuditFields::new(),
        };
        let limits = self.limits.clone();
        let call = |caller: Caller| Call::new(caller, row, limits, deadline, self.audit, peer_fields);
        match self.authorize(row, caller).await {
            Ok(caller) => Ok(call(caller)),
            Err(refusal) => {
                let (caller, denial) = *refusal;
                Err(denial.logged(&call(caller)))
            }
        }
    }

    /// The first hit wins: anyone, local, configured admin, admin entry,
    /// downstream entry, agent (SA-165).
    async fn authorize(
        &self,
        row: &'static Row,
        mut caller: Caller,
    ) -> Result<Caller, Box<(Caller, Denial)>> {
        if row.allow.anyone {
            return Ok(caller);
        }
        if row.allow.local && caller.is_local() {
            caller.authority = Authority::Local;
            return Ok(caller);
        }
        let mut denial = Denial::Unauthorized(row, None);
        if let Some(id) = caller.id.clone() {
            if row.allow.admin && self.admin_ids.contains(&id) {
                caller.authority = Authority::AdminByConfig;
                return Ok(caller);
            }
            if row.allow.admin || row.allow.downstream {
                let entries = match self.entries_of(&id).await {
                    Ok(entries) => entries,
                    Err(error) => return Err(Box::new((caller, Denial::Failed(error)))),
                };
                if row.allow.admin && entries.iter().any(|entry| entry.admin) {
                    caller.authority = Authority::AdminByEntry;
                    return Ok(caller);
                }
                if row.allow.downstream
                    && let Some(entry) = entries.into_iter().find(|entry| entry.downstream)
                {
                    caller.authority = Authority::Downstream;
                    caller.downstream_entry = Some(entry);
                    return Ok(caller);
                }
            }
        }
        if row.allow.agent && !caller.is_local() {
            match self.check_agent(row, &caller).await {
                Ok(()) => {
                    caller.authority = Authority::Agent;
                    return Ok(caller);
                }
                Err(reason) => denial = reason,
            }
        }
        Err(Box::new((caller, denial)))
    }

    /// SA-166
    async fn entries_of(&self, id: &SpiffeId) -> Result<Vec<spire_types::Entry>, ApiError> {
        let request = ListEntries { by_spiffe_id: Some(id.clone()), ..ListEntries::default() };
        let listed = self.datastore.list_entries(&request).await;
        listed
            .map(|(entries, _)| entries)
            .map_err(|error| ApiError::internal("failed to fetch caller entries", error))
    }

    /// SA-171 to SA-174
    async fn check_agent(&self, row: &'static Row, caller: &Caller) -> Result<(), Denial> {
        let denied = |reason| Denial::Unauthorized(row, reason);
        let (Some(id), Some(leaf)) = (&caller.id, &caller.leaf) else { return Err(denied(None)) };
        if leaf.not_after() < self.clock.now() {
            return Err(denied(Some(Reason::AgentExpired)));
        }
        let checked = self.agents.check(id, leaf.serial_decimal()).await.map_err(Denial::Failed)?;
        checked.map_err(|reason| denied(Some(reason)))
    }
}

/// Why a call is not let through.
#[derive(Debug)]
enum Denial {
    /// The caller may not call that; of an agent we know why (SA-168, SA-169).
    Unauthorized(&'static Row, Option<Reason>),
    /// It could not be found out (SA-170).
    Failed(ApiError),
}

impl Denial {
    /// Leaves the lines and makes the answer.
    fn logged(self, call: &Call) -> ApiError {
        let (error, line) = match self {
            Self::Unauthorized(row, reason) => {
                let text = format!("authorization denied for method {}", row.method);
                let mut error = ApiError::new(Code::PermissionDenied, text);
                if let Some(reason) = reason {
                    error.details = permission_denied_details(&error.message, reason);
                    call.log(LogLevel::Error, text_of(reason), AuditFields::new());
                }
                (error, "Failed to authenticate caller")
            }
            Self::Failed(error) => {
                call.log_error(&error);
                (error, "Authorization failure from OPA auth")
            }
        };
        let status = spire_net::rpc_error_text(&error.to_status());
        call.log(LogLevel::Error, line, AuditFields::new().with("error", status));
        error
    }
}

fn text_of(reason: Reason) -> &'static str {
    match reason {
        Reason::AgentExpired => "Agent SVID is expired",
        Reason::AgentNotAttested => "Agent is not attested",
        Reason::AgentNotActive => "Agent SVID is not active",
        Reason::AgentBanned => "Agent is banned",
        Reason::AgentMustReattest => "Agent must reattest",
        Reason::Unknown => "Agent is not authorized",
    }
}

fn caller_of(request: &Request<Body>) -> Caller {
    let connection = request.extensions().get::<ConnectInfo>();
    Caller {
        address: connection.map(ConnectInfo::peer_addr),
        local_peer: request.extensions().get::<LocalPeer>().cloned(),
        id: connection.and_then(|c| c.peer_id().cloned()),
        leaf: connection.and_then(|c| c.peer_certs().first().cloned()),
        authority: Authority::Nobody,
        downstream_entry: None,
    }
}

/// SA-197
fn peer_fields(peer: &LocalPeer) -> Result<AuditFields, ApiError> {
    let Some(pinned) = peer.pinned() else { return Ok(AuditFields::new()) };
    pinned.is_alive().map_err(|error| ApiError::internal("peertracker fails", error))?;
    let credentials = pinned.credentials();
    let path = std::fs::read_link(pinned.proc_path().join("exe")).ok();
    Ok(AuditFields::new()
        .with("caller_uid", credentials.uid)
        .with("caller_gid", credentials.gid)
        .text("caller_path", path.map(|path| path.display().to_string()).unwrap_or_default()))
}

/// Puts [`Access`] before the services of one listener.
#[derive(Debug, Clone)]
pub struct AccessLayer {
    pub access: Arc<Access>,
    pub listener: Listener,
}

impl<S> Layer<S> for AccessLayer {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AccessService { inner, layer: self.clone() }
    }
}

#[derive(Debug, Clone)]
pub struct AccessService<S> {
    inner: S,
    layer: AccessLayer,
}

impl<S> Service<Request<Body>> for AccessService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The one that was polled ready takes the call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let layer = self.layer.clone();
        Box::pin(async move {
            let path = request.uri().path();
            let row = Row::find(path).filter(|row| layer.listener.offers(row));
            let Some(row) = row else { return Ok(layer.listener.unknown(path).into_http()) };
            let (caller, deadline) = (caller_of(&request), deadline(request.headers()));
            match layer.access.admit(row, caller, deadline).await {
                Ok(call) if row.method == "/grpc.health.v1.Health/List" => {
                    // Our library does not know it.
                    let text = "method List not implemented";
                    call.audit(Some((Code::Unimplemented, text.to_owned())));
                    Ok(Status::unimplemented(text).into_http())
                }
                Ok(call) => {
                    request.extensions_mut().insert(call);
                    inner.call(request).await.map(reworded_response)
                }
                Err(error) => Ok(error.to_status().into_http()),
            }
        })
    }
}

impl Caller {
    /// Where a limit is charged.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(denial: Denial) -> ApiError {
        let caller = Caller {
            address: None,
            local_peer: None,
            id: None,
            leaf: None,
            authority: Authority::Nobody,
            downstream_entry: None,
        };
        let clock = spire_runtime::ManualClock::at_unix(0).shared();
        let limits = Arc::new(RateLimits::new(clock, false, false));
        denial.logged(&Call::new(caller, row(), limits, None, false, AuditFields::new()))
    }

    fn row() -> &'static Row {
        Row::find("/spire.api.server.agent.v1.Agent/PostStatus").unwrap()
    }

    #[test]
    fn callers_learn_why_they_were_not_judged_but_only_by_detail_why_they_are_refused() {
        // SA-168 to SA-170
        let banned = answer(Denial::Unauthorized(row(), Some(Reason::AgentBanned)));
        let text = "authorization denied for method /spire.api.server.agent.v1.Agent/PostStatus";
        assert_eq!((banned.code, banned.text().as_str()), (Code::PermissionDenied, text));
        assert!(!banned.details.is_empty());
        let failed = answer(Denial::Failed(ApiError::internal("failed to fetch caller entries", "no disk")));
        assert_eq!(failed.text(), "failed to fetch caller entries: no disk");
    }

    #[test]
    fn what_a_listener_does_not_offer_is_named() {
        // SA-010 to SA-012
        for (listener, path, expected) in [
            (Listener::Local, "/a.B/C", "unknown service a.B"),
            (
                Listener::Local,
                "/spire.api.server.entry.v1.Entry/C",
                "unknown method C for service spire.api.server.entry.v1.Entry",
            ),
            (
                Listener::Local,
                "/spire.api.server.logger.v1.Logger/C",
                "unknown method C for service spire.api.server.logger.v1.Logger",
            ),
            (
                Listener::Tcp,
                "/spire.api.server.logger.v1.Logger/GetLogger",
                "unknown service spire.api.server.logger.v1.Logger",
            ),
            (Listener::Tcp, "/x", "malformed method name: \"/x\""),
        ] {
            assert_eq!(listener.unknown(path).message(), expected, "{path}");
        }
    }
}
