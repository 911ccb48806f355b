//! What goes wrong between the agent and its server, sorted by what to do about it.

use std::fmt;

use spire_net::rpc_error_text;
use spire_proto::rpc_status::permission_denied_reason;
use spire_proto::types::permission_denied_details::Reason;
use spire_runtime::logging::LogValue;
use tonic::{Code, Status};

/// How Go names the one failure that makes an agent think of a new bootstrap (AG-219).
const UNKNOWN_AUTHORITY: &str = "x509: certificate signed by unknown authority";

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Try again later.
    Retry,
    /// The server no longer accepts the agent's SVID; attesting again may help (AG-401).
    Reattest,
    /// The server does not want this agent (AG-403).
    Banned,
}

/// A failed exchange with the server.
#[derive(Debug, Clone)]
pub struct Fault {
    text: String,
    consequence: Consequence,
    code: Option<Code>,
}

impl Fault {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), consequence: Consequence::Retry, code: None }
    }

    pub fn rpc(status: &Status) -> Self {
        let consequence = match permission_denied_reason(status) {
            Some(
                Reason::AgentExpired
                | Reason::AgentNotActive
                | Reason::AgentNotAttested
                | Reason::AgentMustReattest,
            ) => Consequence::Reattest,
            Some(Reason::AgentBanned) => Consequence::Banned,
            _ => Consequence::Retry,
        };
        Self { text: rpc_error_text(status), consequence, code: Some(status.code()) }
    }

    /// `context: ` in front.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.text = format!("{context}: {}", self.text);
        self
    }

    /// `text` in front, as it is.
    #[must_use]
    pub fn prefixed(mut self, text: &str) -> Self {
        self.text.insert_str(0, text);
        self
    }

    pub fn consequence(&self) -> Consequence {
        self.consequence
    }

    /// The gRPC code, if it was the server who refused.
    pub fn code(&self) -> Option<Code> {
        self.code
    }

    /// The server presented a certificate that the trust bundle does not cover.
    pub fn is_unknown_authority(&self) -> bool {
        self.text.contains(UNKNOWN_AUTHORITY)
    }
}

/// Logs a failed call. The code is a name in text and a number in JSON, as Go has it.
pub fn log_rpc_error(message: &str, status: &Status) {
    tracing::error!(
        error = rpc_error_text(status),
        status_code = LogValue::shown(spire_net::code_name(status.code()), status.code() as i32).as_value(),
        status_message = status.message(),
        subsystem_name = "manager",
        "{message}"
    );
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use spire_proto::rpc_status::permission_denied_details;

    fn denied(reason: Reason) -> Fault {
        let details = permission_denied_details("no", reason);
        Fault::rpc(&Status::with_details(Code::PermissionDenied, "no", details))
    }

    #[test]
    fn the_reason_in_a_refusal_decides_what_the_agent_does() {
        // AG-401: without it an evicted node would retry for ever instead of attesting again.
        for reason in [
            Reason::AgentExpired,
            Reason::AgentNotActive,
            Reason::AgentNotAttested,
            Reason::AgentMustReattest,
        ] {
            assert_eq!(denied(reason).consequence(), Consequence::Reattest, "{reason:?}");
        }
        assert_eq!(denied(Reason::AgentBanned).consequence(), Consequence::Banned);
        let plain = Fault::rpc(&Status::permission_denied("no")).context("failed to renew agent");
        assert_eq!(plain.consequence(), Consequence::Retry);
        assert_eq!(plain.to_string(), "failed to renew agent: rpc error: code = PermissionDenied desc = no");
    }

    #[test]
    fn failed_calls_are_logged_with_code_and_message() {
        let log = spire_runtime::logging::capture();
        log_rpc_error("Failed to renew agent", &Status::unavailable("gone"));
        let line = &log.lines()[0];
        assert_eq!((line.field("status_code"), line.field("status_message")), ("Unavailable", "gone"));
        assert_eq!(line.field("error"), "rpc error: code = Unavailable desc = gone");
    }

    #[test]
    fn an_unknown_authority_is_recognised_by_its_text() {
        // AG-219
        let status = Status::unavailable(format!("connection error: desc = \"{UNKNOWN_AUTHORITY}\""));
        assert!(Fault::rpc(&status).is_unknown_authority());
        assert!(!Fault::new("x509: certificate has expired or is not yet valid").is_unknown_authority());
    }
}
