use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use spire_proto::types;
use spire_runtime::logging::{self, LogLevel, LogValue};
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::audit::AuditFields;
use super::caller::Caller;
use super::rate_limit::RateLimits;
use super::table::Row;
use crate::status::ApiError;

/// One call that was let through. Only the access layer makes these, so a
/// handler that holds one knows that its caller may call it.
#[derive(Debug, Clone)]
pub struct Call(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    caller: Caller,
    row: &'static Row,
    /// Made when a line needs it.
    request_id: OnceLock<String>,
    limits: Arc<RateLimits>,
    deadline: Option<Duration>,
    /// `None` when nothing is written down.
    audit: Option<Mutex<AuditFields>>,
    /// Of the local caller (SA-197).
    peer_fields: AuditFields,
}

impl Call {
    pub(super) fn new(
        caller: Caller,
        row: &'static Row,
        limits: Arc<RateLimits>,
        deadline: Option<Duration>,
        audited: bool,
        peer_fields: AuditFields,
    ) -> Self {
        let audit = audited.then(Mutex::default);
        Self(Arc::new(Inner {
            caller,
            row,
            request_id: OnceLock::new(),
            limits,
            deadline,
            audit,
            peer_fields,
        }))
    }

    /// The call of a request; its absence is a mistake of ours.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let missing = || Status::internal("the request did not pass the access layer");
        request.extensions().get::<Self>().cloned().ok_or_else(missing)
    }

    fn request_id(&self) -> &str {
        self.0.request_id.get_or_init(|| Uuid::new_v4().to_string())
    }

    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// Waits for the tokens that the RPC's row asks for.
    pub async fn limit(&self, count: usize, refusal: &str) -> Result<(), ApiError> {
        let address: Option<IpAddr> = self.0.caller.ip();
        let taken = self.0.limits.take(self.0.row.limit, address, count, self.0.deadline).await;
        taken.map_err(|error| ApiError::because(error.code, refusal, error.message))
    }

    /// Adds to the audit line; the fields are only made when there is one.
    pub fn note(&self, fields: impl FnOnce() -> AuditFields) {
        if let Some(audit) = &self.0.audit {
            audit.lock().extend(fields());
        }
    }

    /// One line for one item of a batch (SA-196).
    pub fn note_item(&self, status: Option<&types::Status>, fields: impl FnOnce() -> AuditFields) {
        if self.0.audit.is_none() {
            return;
        }
        let failure = status.filter(|s| s.code != 0).map(|s| (Code::from_i32(s.code), s.message.clone()));
        self.write_audit(fields(), failure);
    }

    fn write_audit(&self, fields: AuditFields, failure: Option<(Code, String)>) {
        let mut all = self.fields();
        all.push(("type".into(), LogValue::from("audit")));
        all.extend(fields.0);
        all.extend(self.0.peer_fields.0.clone());
        match failure {
            None => all.push(("status".into(), LogValue::from("success"))),
            Some((code, message)) => {
                all.push(("status".into(), LogValue::from("error")));
                all.push((
                    "status_code".into(),
                    LogValue::shown(spire_net::code_name(code), i32::from(code)),
                ));
                all.push(("status_message".into(), LogValue::from(message)));
            }
        }
        emit(LogLevel::Info, "API accessed", &all);
    }

    /// The fields of every line about this call (SA-176, SA-179).
    fn fields(&self) -> Vec<(Cow<'static, str>, LogValue)> {
        let caller = &self.0.caller;
        let (authorized_as, authorized_via) = caller.authority.as_and_via();
        let (service, method) = self.0.row.service_and_method();
        let mut fields: Vec<(Cow<'static, str>, LogValue)> = vec![
            ("authorized_as".into(), authorized_as.into()),
            ("authorized_via".into(), authorized_via.into()),
            ("method".into(), method.into()),
            ("request_id".into(), self.request_id().into()),
            ("service".into(), service.into()),
            ("subsystem_name".into(), "api".into()),
        ];
        if let Some(address) = caller.address {
            fields.push(("caller_addr".into(), address.to_string().into()));
        }
        if let Some(id) = &caller.id {
            fields.push(("caller_id".into(), id.to_string().into()));
        }
        fields
    }

    /// A line about this call.
    pub fn log(&self, level: LogLevel, message: &str, extra: AuditFields) {
        if logging::enabled(level) {
            let mut fields = self.fields();
            fields.extend(extra.0);
            emit(level, message, &fields);
        }
    }

    /// Ends the call: logs a failure, writes the audit line.
    pub fn conclude<T>(&self, outcome: Result<T, ApiError>) -> Result<Response<T>, Status> {
        self.end(outcome, !self.0.row.quiet)
    }

    /// Ends a batch, whose items have had their own lines.
    pub fn conclude_batch<T>(&self, outcome: Result<T, ApiError>) -> Result<Response<T>, Status> {
        self.end(outcome, false)
    }

    fn end<T>(&self, outcome: Result<T, ApiError>, line_for_success: bool) -> Result<Response<T>, Status> {
        match outcome {
            Ok(answer) => {
                if line_for_success {
                    self.audit(None);
                }
                Ok(Response::new(answer))
            }
            Err(error) => {
                self.log_error(&error);
                self.audit(Some((error.code, error.text())));
                Err(error.to_status())
            }
        }
    }

    /// The audit line of the whole call, if there is one.
    pub fn audit(&self, failure: Option<(Code, String)>) {
        if let Some(audit) = &self.0.audit {
            let fields = audit.lock().clone();
            self.write_audit(fields, failure);
        }
    }

    /// What SA-014 says about failures, for a call or an item of one.
    pub fn log_error(&self, error: &ApiError) {
        let fields = match error.shown_cause() {
            Some(cause) => error.about.clone().with("error", cause),
            None => error.about.clone(),
        };
        self.log(LogLevel::Error, &error.log_message(), fields);
    }

    /// Logs a failed item and makes its result.
    pub fn refuse_item(&self, error: &ApiError) -> types::Status {
        self.log_error(error);
        error.to_item()
    }
}

fn emit(level: LogLevel, message: &str, fields: &[(Cow<'static, str>, LogValue)]) {
    let fields: Vec<(&str, LogValue)> =
        fields.iter().map(|(name, value)| (name.as_ref(), value.clone())).collect();
    logging::emit(level, message, &fields);
}
