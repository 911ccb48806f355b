//! Failures on their way to the caller (SA-014, architecture A9).

use std::fmt::Display;

use bytes::Bytes;
use spire_datastore::{Code as StoreCode, DatastoreError};
use spire_proto::types;
use tonic::{Code, Status};

use crate::access::AuditFields;

/// A failed call: what the caller is told, and what only the log knows.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub code: Code,
    pub message: String,
    pub cause: Option<String>,
    pub details: Bytes,
    /// What the failure is about, for the log.
    pub about: AuditFields,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), cause: None, details: Bytes::new(), about: AuditFields::new() }
    }

    pub fn because(code: Code, message: impl Into<String>, cause: impl Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::new(code, message) }
    }

    /// The same failure, with one more field in the log.
    #[must_use]
    pub fn about(mut self, name: &'static str, value: impl Display) -> Self {
        self.about = self.about.with(name, value.to_string());
        self
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub fn invalid_because(message: impl Into<String>, cause: impl Display) -> Self {
        Self::because(Code::InvalidArgument, message, cause)
    }

    pub fn internal(message: impl Into<String>, cause: impl Display) -> Self {
        Self::because(Code::Internal, message, cause)
    }

    /// The cause of "not found" is nobody's business (SA-014).
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// With the datastore's own code, unknown ones as internal (SA-076).
    pub fn from_store(message: &str, error: &DatastoreError) -> Self {
        Self::because(store_code(error), message, error)
    }

    /// The cause, unless it is nobody's business (SA-014).
    pub fn shown_cause(&self) -> Option<&str> {
        self.cause.as_deref().filter(|_| self.code != Code::NotFound)
    }

    /// What the caller reads.
    pub fn text(&self) -> String {
        match self.shown_cause() {
            None => self.message.clone(),
            Some(cause) => format!("{}: {cause}", self.message),
        }
    }

    pub fn to_status(&self) -> Status {
        Status::with_details(self.code, self.text(), self.details.clone())
    }

    /// As the result of one item of a batch (SA-016).
    pub fn to_item(&self) -> types::Status {
        types::Status { code: self.code.into(), message: self.text() }
    }

    /// What the log says (SA-014).
    pub fn log_message(&self) -> String {
        if self.code == Code::InvalidArgument {
            return format!("Invalid argument: {}", self.message);
        }
        let mut letters = self.message.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }
}

/// SA-322, with unknown as internal.
pub fn store_code(error: &DatastoreError) -> Code {
    match error.code() {
        StoreCode::NotFound => Code::NotFound,
        StoreCode::AlreadyExists => Code::AlreadyExists,
        StoreCode::InvalidArgument => Code::InvalidArgument,
        StoreCode::FailedPrecondition => Code::FailedPrecondition,
        StoreCode::Internal | StoreCode::Unknown => Code::Internal,
    }
}

/// The successful result of one item (SA-016).
pub fn ok_item() -> types::Status {
    types::Status { code: 0, message: "OK".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_shown_except_behind_not_found() {
        // SA-014
        let error = ApiError::internal("failed to fetch agent", "disk on fire");
        assert_eq!(error.text(), "failed to fetch agent: disk on fire");
        assert_eq!(error.log_message(), "Failed to fetch agent");
        let error = ApiError::because(Code::NotFound, "agent not found", "secret");
        assert_eq!((error.text().as_str(), error.shown_cause()), ("agent not found", None));
        assert_eq!(ApiError::invalid("missing ID").log_message(), "Invalid argument: missing ID");
    }
}
