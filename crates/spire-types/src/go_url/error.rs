use super::address::AddressError;
use crate::go_text::{quote, quote_bytes};

/// A text is no URL. Reads as the error of Go's `url.Parse`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse {}: {mistake}", quote(.text))]
pub struct GoUrlError {
    text: String,
    mistake: Mistake,
}

impl GoUrlError {
    pub(super) fn new(text: &str, mistake: Mistake) -> Self {
        Self { text: text.to_owned(), mistake }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    #[error("net/url: invalid control character in URL")]
    ControlCharacter,
    #[error("missing protocol scheme")]
    MissingScheme,
    #[error("first path segment in URL cannot contain colon")]
    ColonInFirstSegment,
    #[error("net/url: invalid userinfo")]
    UserInfo,
    #[error("invalid URL escape {}", quote_bytes(.0))]
    Escape(Vec<u8>),
    #[error("invalid character {} in host name", quote(.0))]
    HostCharacter(String),
    #[error("invalid port {} after host", quote(.0))]
    Port(String),
    #[error("missing ']' in host")]
    MissingBracket,
    #[error("invalid IP-literal")]
    IpLiteral,
    #[error("invalid host: {0}")]
    Address(AddressError),
}
