use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::trust_domain::{TrustDomain, is_trust_domain_byte};

const SCHEME: &str = "spiffe://";

/// A SPIFFE ID, `spiffe://<trust domain>[/path]` (SPIFFE-ID section 2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    path: Arc<str>,
}

/// Why a text is not a SPIFFE ID. The wording is what users of SPIRE match on (SA-022).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    #[error("cannot be empty")]
    Empty,
    #[error("scheme is missing or invalid")]
    Scheme,
    #[error("trust domain is missing")]
    MissingTrustDomain,
    #[error(
        "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores"
    )]
    BadTrustDomainChar,
    #[error("path must have a leading slash")]
    NoLeadingSlash,
    #[error("path cannot have a trailing slash")]
    TrailingSlash,
    #[error("path cannot contain empty segments")]
    EmptySegment,
    #[error("path cannot contain dot segments")]
    DotSegment,
    #[error("path segment characters are limited to letters, numbers, dots, dashes, and underscores")]
    BadPathChar,
}

/// Why an ID does not fit the role that was asked of it (SA-023 to SA-025).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    #[error("\"{id}\" is not a member of trust domain \"{trust_domain}\"")]
    NotMember { id: SpiffeId, trust_domain: TrustDomain },
    #[error("\"{id}\" is not a member of trust domain \"{trust_domain}\"; path is empty")]
    MemberPathEmpty { id: SpiffeId, trust_domain: TrustDomain },
    #[error("\"{id}\" is not an agent in trust domain \"{trust_domain}\"; path is empty")]
    AgentPathEmpty { id: SpiffeId, trust_domain: TrustDomain },
    #[error(
        "\"{id}\" is not an agent in trust domain \"{trust_domain}\"; path is not in the agent namespace"
    )]
    NotAgentPath { id: SpiffeId, trust_domain: TrustDomain },
    #[error("\"{id}\" is not a workload in trust domain \"{trust_domain}\"; path is empty")]
    WorkloadPathEmpty { id: SpiffeId, trust_domain: TrustDomain },
    #[error(
        "\"{id}\" is not a workload in trust domain \"{trust_domain}\"; path is in the reserved namespace"
    )]
    ReservedPath { id: SpiffeId, trust_domain: TrustDomain },
}

impl SpiffeId {
    /// The ID of the trust domain itself; its path is empty.
    pub fn of_trust_domain(trust_domain: TrustDomain) -> Self {
        Self { trust_domain, path: "".into() }
    }

    /// Joins a trust domain and a path, which is empty or starts with `/`.
    pub fn from_path(trust_domain: TrustDomain, path: &str) -> Result<Self, SpiffeIdError> {
        check_path(path)?;
        Ok(Self { trust_domain, path: path.into() })
    }

    /// `spiffe://<td>/spire/server`.
    pub fn server(trust_domain: &TrustDomain) -> Self {
        Self { trust_domain: trust_domain.clone(), path: "/spire/server".into() }
    }

    /// `spiffe://<td>/spire/agent/join_token/<token>`; the token is one segment (SA-048).
    pub fn join_token_agent(trust_domain: &TrustDomain, token: &str) -> Result<Self, SpiffeIdError> {
        if token.contains('/') {
            return Err(SpiffeIdError::BadPathChar);
        }
        Self::from_path(trust_domain.clone(), &format!("/spire/agent/join_token/{token}"))
    }

    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Empty, or with a leading slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn is_member_of(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domain == *trust_domain
    }

    /// The reserved namespace of SPIRE: `/spire` and below (CA-377).
    pub fn is_reserved(&self) -> bool {
        &*self.path == "/spire" || self.path.starts_with("/spire/")
    }

    pub fn is_agent_path(&self) -> bool {
        self.path.starts_with("/spire/agent/")
    }

    /// Refuses IDs of other trust domains and those without a path (SA-023).
    pub fn require_member_of(&self, trust_domain: &TrustDomain) -> Result<(), MembershipError> {
        let (id, td) = (self.clone(), trust_domain.clone());
        if !self.is_member_of(trust_domain) {
            return Err(MembershipError::NotMember { id, trust_domain: td });
        }
        if self.path.is_empty() {
            return Err(MembershipError::MemberPathEmpty { id, trust_domain: td });
        }
        Ok(())
    }

    /// Refuses everything but `/spire/agent/…` of this trust domain (SA-024).
    pub fn require_agent_of(&self, trust_domain: &TrustDomain) -> Result<(), MembershipError> {
        let (id, td) = (self.clone(), trust_domain.clone());
        if !self.is_member_of(trust_domain) {
            return Err(MembershipError::NotMember { id, trust_domain: td });
        }
        if self.path.is_empty() {
            return Err(MembershipError::AgentPathEmpty { id, trust_domain: td });
        }
        if !self.is_agent_path() {
            return Err(MembershipError::NotAgentPath { id, trust_domain: td });
        }
        Ok(())
    }

    /// Refuses the reserved namespace and other trust domains (SA-025).
    pub fn require_workload_of(&self, trust_domain: &TrustDomain) -> Result<(), MembershipError> {
        let (id, td) = (self.clone(), trust_domain.clone());
        if !self.is_member_of(trust_domain) {
            return Err(MembershipError::NotMember { id, trust_domain: td });
        }
        if self.path.is_empty() {
            return Err(MembershipError::WorkloadPathEmpty { id, trust_domain: td });
        }
        if self.is_reserved() {
            return Err(MembershipError::ReservedPath { id, trust_domain: td });
        }
        Ok(())
    }
}

/// The path rules of SPIFFE-ID section 2.2, in the order in which go-spiffe reports them.
fn check_path(path: &str) -> Result<(), SpiffeIdError> {
    if path.is_empty() {
        return Ok(());
    }
    let Some(segments) = path.strip_prefix('/') else {
        return Err(SpiffeIdError::NoLeadingSlash);
    };
    let last = segments.split('/').count() - 1;
    for (index, segment) in segments.split('/').enumerate() {
        if let Some(_bad) = segment.bytes().find(|b| !is_path_byte(*b)) {
            return Err(SpiffeIdError::BadPathChar);
        }
        match segment {
            "" if index == last => return Err(SpiffeIdError::TrailingSlash),
            "" => return Err(SpiffeIdError::EmptySegment),
            "." | ".." => return Err(SpiffeIdError::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(SpiffeIdError::Empty);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (name, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !name.bytes().all(is_trust_domain_byte) {
            return Err(SpiffeIdError::BadTrustDomainChar);
        }
        let trust_domain = TrustDomain::from_name(name)?;
        Self::from_path(trust_domain, path)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.trust_domain, self.path)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_ids_print_as_they_were_written() {
        // CA-371, CA-372, CA-374: no limit of length, and names like addresses are names
        for text in ["spiffe://td", "spiffe://1.2.3.4/x", "spiffe://a_b-c.d/Aa0/.x/..y/-_"] {
            assert_eq!(text.parse::<SpiffeId>().unwrap().to_string(), text);
        }
        for length in [2048, 2049] {
            let long = format!("spiffe://td/{}", "a".repeat(length - 12));
            assert_eq!(long.len(), length);
            assert_eq!(long.parse::<SpiffeId>().unwrap().to_string(), long);
        }
    }

    #[test]
    fn a_join_token_is_one_segment() {
        // SA-047, SA-048
        let td = TrustDomain::parse("td").unwrap();
        let agent = |token| SpiffeId::join_token_agent(&td, token).map(|id| id.to_string());
        assert_eq!(agent("a.b-1").unwrap(), "spiffe://td/spire/agent/join_token/a.b-1");
        for (token, error) in [
            ("a/b", SpiffeIdError::BadPathChar),
            ("../x", SpiffeIdError::BadPathChar),
            ("a b", SpiffeIdError::BadPathChar),
            ("..", SpiffeIdError::DotSegment),
        ] {
            assert_eq!(agent(token).unwrap_err(), error, "{token}");
        }
    }

    #[test]
    fn invalid_ids_are_refused_with_the_standards_reason() {
        // CA-361 to CA-370
        for (text, reason) in [
            ("", SpiffeIdError::Empty),
            ("http://td/x", SpiffeIdError::Scheme),
            ("SPIFFE://td/x", SpiffeIdError::Scheme),
            ("spiffe://", SpiffeIdError::MissingTrustDomain),
            ("spiffe:///x", SpiffeIdError::MissingTrustDomain),
            ("spiffe://TD/x", SpiffeIdError::BadTrustDomainChar),
            ("spiffe://td:80/x", SpiffeIdError::BadTrustDomainChar),
            ("spiffe://u@td/x", SpiffeIdError::BadTrustDomainChar),
            ("spiffe://td/", SpiffeIdError::TrailingSlash),
            ("spiffe://td/a/", SpiffeIdError::TrailingSlash),
            ("spiffe://td//a", SpiffeIdError::EmptySegment),
            ("spiffe://td/./a", SpiffeIdError::DotSegment),
            ("spiffe://td/a/..", SpiffeIdError::DotSegment),
            ("spiffe://td/x?y", SpiffeIdError::BadPathChar),
            ("spiffe://td/x#z", SpiffeIdError::BadPathChar),
            ("spiffe://td/%41", SpiffeIdError::BadPathChar),
        ] {
            assert_eq!(text.parse::<SpiffeId>().unwrap_err(), reason, "{text}");
        }
        let td = TrustDomain::from_name("td").unwrap();
        assert_eq!(SpiffeId::from_path(td, "x").unwrap_err(), SpiffeIdError::NoLeadingSlash);
    }

    #[test]
    fn roles_are_told_apart_by_path() {
        // SA-023 to SA-025
        let td: TrustDomain = "td".parse().unwrap();
        let id = |s: &str| s.parse::<SpiffeId>().unwrap();
        assert!(id("spiffe://td/w").require_workload_of(&td).is_ok());
        assert!(id("spiffe://td/spirefly").require_workload_of(&td).is_ok());
        assert_eq!(
            id("spiffe://td/spire").require_workload_of(&td).unwrap_err().to_string(),
            "\"spiffe://td/spire\" is not a workload in trust domain \"td\"; path is in the reserved namespace"
        );
        assert!(id("spiffe://td/spire/agent/x").require_agent_of(&td).is_ok());
        assert_eq!(
            id("spiffe://other/w").require_member_of(&td).unwrap_err().to_string(),
            "\"spiffe://other/w\" is not a member of trust domain \"td\""
        );
    }
}
