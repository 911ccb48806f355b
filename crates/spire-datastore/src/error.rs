//! What can go wrong, in the words that upstream's users match on (SA-321, SA-322).

use std::borrow::Cow;

/// The gRPC code that belongs to a [`DatastoreError`] (SA-322).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The row does not exist.
    NotFound,
    /// A unique constraint would be broken.
    AlreadyExists,
    /// The request itself is wrong.
    InvalidArgument,
    /// The row is in use.
    FailedPrecondition,
    /// Stored data does not make sense.
    Internal,
    /// Anything the database reports beyond that.
    Unknown,
}

/// A failed operation. `Display` is upstream's full text, prefix included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DatastoreError {
    code: Code,
    message: Cow<'static, str>,
}

impl DatastoreError {
    /// The gRPC code to answer with, where the API does not choose its own.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whether the row asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }

    /// Text and code as given, without prefix.
    pub(crate) fn status(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// `datastore-sql: …`, code Unknown.
    pub(crate) fn sql(message: impl std::fmt::Display) -> Self {
        Self::status(Code::Unknown, format!("datastore-sql: {message}"))
    }

    /// `datastore-validation: …`.
    pub(crate) fn validation(message: impl std::fmt::Display) -> Self {
        Self::status(Code::InvalidArgument, format!("datastore-validation: {message}"))
    }

    /// `datastore-sql: record not found`.
    pub(crate) fn record_not_found() -> Self {
        Self::status(Code::NotFound, "datastore-sql: record not found")
    }

    /// The same error with more words in front of it.
    pub(crate) fn context(self, context: &str) -> Self {
        Self { code: self.code, message: format!("{context}: {}", self.message).into() }
    }

    /// The same text under another code.
    pub(crate) fn with_code(self, code: Code) -> Self {
        Self { code, message: self.message }
    }
}

impl From<rusqlite::Error> for DatastoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(kind, message) => {
                let code = match kind.code {
                    rusqlite::ErrorCode::ConstraintViolation => Code::AlreadyExists,
                    _ => Code::Unknown,
                };
                Self::sql(message.unwrap_or_else(|| kind.to_string())).with_code(code)
            }
            rusqlite::Error::SqlInputError { msg, .. } => Self::sql(msg),
            other => Self::sql(other),
        }
    }
}
