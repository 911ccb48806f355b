//! Which DNS names may go into an SVID (SA-073 to SA-075, CA-232, CA-233).

/// Why a DNS name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsNameError {
    #[error("empty or only whitespace")]
    Empty,
    #[error("name must be ascii")]
    NotAscii,
    #[error("too many wildcards")]
    TooManyWildcards,
    #[error("wildcard must be first label")]
    WildcardNotFirst,
    #[error("domain ends with dot")]
    TrailingDot,
    #[error("idna error\nidna: invalid label {0:?}")]
    Label(String),
    #[error("name {0:?} overlaps with an existing wildcard name in the list: wildcard overlap")]
    Overlap(String),
}

/// Checks one name. Space around it is ignored here and stays in the name.
pub fn validate_dns_name(name: &str) -> Result<(), DnsNameError> {
    if !name.is_ascii() {
        return Err(DnsNameError::NotAscii);
    }
    let wildcards = name.matches('*').count();
    let rest = match wildcards {
        0 => name,
        1 => name.strip_prefix("*.").ok_or(DnsNameError::WildcardNotFirst)?,
        _ => return Err(DnsNameError::TooManyWildcards),
    };
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(DnsNameError::Empty);
    }
    if rest.ends_with('.') {
        return Err(DnsNameError::TrailingDot);
    }
    if rest.len() > 253 {
        return Err(DnsNameError::Label(rest.to_owned()));
    }
    match rest.split('.').find(|label| !is_label(label)) {
        Some(bad) => Err(DnsNameError::Label(bad.to_owned())),
        None => Ok(()),
    }
}

fn is_label(label: &str) -> bool {
    if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
        return false;
    }
    if label.as_bytes().get(2..4) != Some(b"--") {
        return true;
    }
    // Only a punycode label that decodes and encodes to itself.
    let (decoded, outcome) = idna::domain_to_unicode(label);
    label.starts_with("xn--")
        && outcome.is_ok()
        && !decoded.is_ascii()
        && idna::domain_to_ascii(&decoded).is_ok_and(|again| again == label)
}

/// The first plain name that a wildcard of the same list covers (SA-075).
pub fn wildcard_overlap(names: &[String]) -> Result<(), DnsNameError> {
    let covered = |name: &&String| {
        name.split_once('.').is_some_and(|(first, rest)| {
            first != "*" && names.iter().any(|other| other.strip_prefix("*.") == Some(rest))
        })
    };
    match names.iter().find(|name| covered(name)) {
        Some(name) => Err(DnsNameError::Overlap(name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_upstream_does() {
        // SA-073, SA-074
        for good in
            ["a", "A_b.c", "*.example.org", " db ", "xn--bcher-kva.example", "1.2.3.4", &"a".repeat(63)]
        {
            assert_eq!(validate_dns_name(good), Ok(()), "{good}");
        }
        for (bad, text) in [
            ("", "empty or only whitespace"),
            ("  ", "empty or only whitespace"),
            ("*.", "empty or only whitespace"),
            ("bücher.de", "name must be ascii"),
            ("*.*.a", "too many wildcards"),
            ("a.*.b", "wildcard must be first label"),
            ("*", "wildcard must be first label"),
            ("a.", "domain ends with dot"),
            ("a..b", "idna error\nidna: invalid label \"\""),
            ("-a", "idna error\nidna: invalid label \"-a\""),
            ("ab--c", "idna error\nidna: invalid label \"ab--c\""),
        ] {
            assert_eq!(validate_dns_name(bad).unwrap_err().to_string(), text, "{bad:?}");
        }
    }

    #[test]
    fn a_wildcard_must_not_cover_its_neighbours() {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert!(wildcard_overlap(&list(&["a.test", "*.other"])).is_ok());
        assert!(wildcard_overlap(&list(&["*.test", "a.test"])).is_err());
        assert!(wildcard_overlap(&list(&["*.test", "*.test"])).is_ok());
    }
}
