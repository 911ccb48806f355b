use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::spiffe_id::{SpiffeId, SpiffeIdError};

/// The name of a trust domain, such as `example.org` (SPIFFE-ID section 2.1).
///
/// Lower-case letters, digits, dots, dashes and underscores; never empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Accepts a bare name, or any SPIFFE ID, whose trust domain is taken (CA-376).
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.contains(":/") {
            return Ok(text.parse::<SpiffeId>()?.trust_domain().clone());
        }
        Self::from_name(text)
    }

    /// Accepts a bare name only.
    pub fn from_name(name: &str) -> Result<Self, SpiffeIdError> {
        if name.is_empty() {
            return Err(SpiffeIdError::MissingTrustDomain);
        }
        if !name.bytes().all(is_trust_domain_byte) {
            return Err(SpiffeIdError::BadTrustDomainChar);
        }
        Ok(Self(name.into()))
    }

    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SPIFFE ID of the trust domain itself, `spiffe://<name>`.
    pub fn id(&self) -> SpiffeId {
        SpiffeId::of_trust_domain(self.clone())
    }

    /// `spiffe://<name>` as text; how bundles are keyed on the wire and in the database.
    pub fn id_string(&self) -> String {
        format!("spiffe://{}", self.0)
    }
}

pub(crate) fn is_trust_domain_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_names_its_trust_domain() {
        // CA-376
        for text in ["example.org", "spiffe://example.org", "spiffe://example.org/any/path"] {
            assert_eq!(TrustDomain::parse(text).unwrap().as_str(), "example.org");
        }
    }

    #[test]
    fn bad_names_are_refused_with_the_standards_reason() {
        // CA-363, CA-364
        for (text, reason) in [
            ("", "trust domain is missing"),
            (
                "Example.org",
                "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores",
            ),
            (
                "td:80",
                "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores",
            ),
            ("http://td", "scheme is missing or invalid"),
        ] {
            assert_eq!(TrustDomain::parse(text).unwrap_err().to_string(), reason, "{text}");
        }
    }
}
