//! Which DNS names may go into an SVID (SA-073 to SA-075, CA-232, CA-233).

use spire_types::go_text::quote;

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
    #[error("idna error\nidna: invalid label {label}", label = quote(.0))]
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
    check_labels(rest)
}

fn check_labels(name: &str) -> Result<(), DnsNameError> {
    let bad = |label: &str| Err(DnsNameError::Label(label.to_owned()));
    for label in name.split('.') {
        match label.strip_prefix("xn--") {
            _ if label.is_empty() => return bad(name),
            Some(encoded) => check_encoded(label, encoded)?,
            None if label.starts_with('-') || label.ends_with('-') || label.get(2..4) == Some("--") => {
                return bad(label);
            }
            None => {}
        }
    }
    match name.split('.').find(|label| label.len() > 63) {
        Some(long) => bad(long),
        None if name.len() > 253 => bad(name),
        None => Ok(()),
    }
}

/// Only a punycode label that decodes and encodes to itself. A bad one is shown as far as it was decoded.
fn check_encoded(label: &str, encoded: &str) -> Result<(), DnsNameError> {
    let bad = |shown: &str| Err(DnsNameError::Label(shown.to_owned()));
    let Some(decoded) = idna::punycode::decode_to_string(encoded) else { return bad(encoded) };
    if encoded.is_empty() || decoded.is_ascii() || encoded.rfind('-') == Some(0) {
        return bad(encoded);
    }
    let (unicode, outcome) = idna::domain_to_unicode(label);
    let same = outcome.is_ok() && idna::domain_to_ascii(&unicode).is_ok_and(|again| again == label);
    if same && decoded.chars().all(is_strict) { Ok(()) } else { bad(&decoded) }
}

/// What may stand in a decoded label with STD3 rules. The signs, which contain `=`, `<` and `>`, are not letters of
/// names before Unicode 16.
fn is_strict(c: char) -> bool {
    match c {
        'a'..='z' | '0'..='9' | '-' => true,
        '\u{2260}' | '\u{226e}' | '\u{226f}' => false,
        _ => !c.is_ascii(),
    }
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
            ("a..b", "idna error\nidna: invalid label \"a..b\""),
            (".a", "idna error\nidna: invalid label \".a\""),
            ("*.a..b", "idna error\nidna: invalid label \"a..b\""),
            ("xn--1ch", "idna error\nidna: invalid label \"\u{2260}\""),
            ("xn--a", "idna error\nidna: invalid label \"\\u0080\""),
            ("xn--", "idna error\nidna: invalid label \"\""),
            ("xn--0", "idna error\nidna: invalid label \"0\""),
            ("xn--abc-", "idna error\nidna: invalid label \"abc-\""),
            ("a.-b.xn--0", "idna error\nidna: invalid label \"-b\""),
            ("-a", "idna error\nidna: invalid label \"-a\""),
            ("ab--c", "idna error\nidna: invalid label \"ab--c\""),
        ] {
            assert_eq!(validate_dns_name(bad).unwrap_err().to_string(), text, "{bad:?}");
        }
    }

    #[test]
    fn names_and_labels_have_a_greatest_length() {
        // SA-074
        let label = "a".repeat(64);
        let refusal = validate_dns_name(&format!("b.{label}")).unwrap_err();
        assert_eq!(refusal, DnsNameError::Label(label));
        let name = "a.".repeat(126) + "ab";
        assert_eq!(validate_dns_name(&name).unwrap_err(), DnsNameError::Label(name.clone()));
        assert_eq!(validate_dns_name(&name[1..].replacen('.', "", 1)), Ok(()));
    }

    #[test]
    fn a_wildcard_must_not_cover_its_neighbours() {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert!(wildcard_overlap(&list(&["a.test", "*.other"])).is_ok());
        assert!(wildcard_overlap(&list(&["*.test", "a.test"])).is_err());
        assert!(wildcard_overlap(&list(&["*.test", "*.test"])).is_ok());
    }
}
