use spire_types::{GoUrlError, MembershipError, SelectorError, SpiffeIdError};

/// Why a message is not a valid domain value. The wording is what clients of
/// SPIRE see behind the prefix of the RPC (SA-014).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    #[error("request must specify SPIFFE ID")]
    MissingSpiffeId,
    #[error(transparent)]
    SpiffeId(#[from] SpiffeIdError),
    #[error(transparent)]
    Membership(#[from] MembershipError),
    #[error(transparent)]
    Selector(#[from] SelectorError),
    #[error(transparent)]
    Url(#[from] GoUrlError),
    /// A field of a message is wrong; printed `<what>: <why>`.
    #[error("{what}: {source}")]
    Field { what: &'static str, source: Box<ConvertError> },
    /// Anything that is complete in itself.
    #[error("{0}")]
    Message(String),
}

impl ConvertError {
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// Names the field that is wrong.
    pub fn at(self, what: &'static str) -> Self {
        Self::Field { what, source: Box::new(self) }
    }
}

/// Names the field in which a check failed.
pub trait InField<T> {
    fn field(self, what: &'static str) -> Result<T, ConvertError>;
}

impl<T, E: Into<ConvertError>> InField<T> for Result<T, E> {
    fn field(self, what: &'static str) -> Result<T, ConvertError> {
        self.map_err(|error| error.into().at(what))
    }
}
