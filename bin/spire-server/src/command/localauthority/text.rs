//! Authorities as people read them (SC-340, SC-341).

use std::fmt;

use spire_cli::go_text;
use spire_proto::server::localauthority::v1::AuthorityState;

/// What an authority signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    X509,
    Jwt,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X509 => "X.509",
            Self::Jwt => "JWT",
        })
    }
}

/// The lines about one authority. Only X.509 authorities have something upstream.
pub(super) fn lines(authority: &AuthorityState, kind: Kind) -> String {
    let upstream = match (kind, authority.upstream_authority_subject_key_id.as_str()) {
        (Kind::Jwt, _) => String::new(),
        (Kind::X509, "") => "  Upstream authority ID: No upstream authority\n".to_owned(),
        (Kind::X509, id) => format!("  Upstream authority Subject Key ID: {id}\n"),
    };
    format!(
        "  Authority ID: {}\n  Expires at: {}\n{upstream}",
        authority.authority_id,
        go_text::utc_time(authority.expires_at)
    )
}

/// The lines about a slot, its authority or that there is none.
pub(super) fn slot(name: &str, authority: Option<&AuthorityState>, kind: Kind) -> String {
    let (first, rest) = name.split_at(1);
    let lines = match authority {
        Some(authority) => lines(authority, kind),
        None => format!("  No {name} {kind} authority found\n"),
    };
    format!("{}{rest} {kind} authority:\n{lines}", first.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_say_what_they_hold() {
        // SC-340, SC-341
        let authority = AuthorityState {
            authority_id: "id".into(),
            expires_at: 1001,
            upstream_authority_subject_key_id: "up".into(),
        };
        assert_eq!(
            slot("active", Some(&authority), Kind::X509),
            "Active X.509 authority:\n  Authority ID: id\n  Expires at: 1970-01-01 00:16:41 +0000 UTC\n  \
             Upstream authority Subject Key ID: up\n"
        );
        assert_eq!(
            slot("prepared", Some(&authority), Kind::Jwt),
            "Prepared JWT authority:\n  Authority ID: id\n  Expires at: 1970-01-01 00:16:41 +0000 UTC\n"
        );
        assert_eq!(slot("old", None, Kind::X509), "Old X.509 authority:\n  No old X.509 authority found\n");
        let local = AuthorityState { upstream_authority_subject_key_id: String::new(), ..authority };
        assert!(lines(&local, Kind::X509).ends_with("  Upstream authority ID: No upstream authority\n"));
    }
}
