//! URIs as Go takes them for names in certificates.

use spire_types::GoUrl;
use spire_types::go_text::quote;

use super::certificate::X509Error;

/// Checks a URI and returns it as Go prints it.
pub(super) fn read(uri: &str) -> Result<String, X509Error> {
    let refused =
        |reason: &str| X509Error::refused(format!("x509: cannot parse URI {}: {reason}", quote(uri)));
    let url = GoUrl::parse(uri).map_err(|error| refused(&error.to_string()))?;
    if !is_domain(url.host(), false) {
        return Err(refused("invalid domain"));
    }
    Ok(url.to_string())
}

/// Whether Go takes a name as that of a host. A constraint may begin with a dot.
pub(super) fn is_domain(name: &str, constraint: bool) -> bool {
    let labels = if constraint { name.strip_prefix('.').unwrap_or(name) } else { name };
    let whole = !name.ends_with('.') && labels.split('.').all(|label| !label.is_empty());
    name.is_empty() || (whole && name.bytes().all(|byte| byte.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_printed_as_go_does() {
        // CA-227: SPIRE reads the ID from what Go prints of the URI.
        for (uri, printed) in [
            ("spiffe://td/w", "spiffe://td/w"),
            ("SPIFFE://td/w", "spiffe://td/w"),
            ("spiffe://td/w#", "spiffe://td/w"),
            ("spiffe://td/w#x", "spiffe://td/w#x"),
            ("https://[::1]:80/%41?%zz", "https://[::1]:80/%41?%zz"),
            ("urn:a b%", "urn:a b%"),
            ("", ""),
            ("*", "*"),
            ("//a/b", "//a/b"),
        ] {
            assert_eq!(read(uri).unwrap(), printed, "{uri}");
        }
    }

    #[test]
    fn what_go_does_not_parse_is_refused_in_its_words() {
        for (uri, reason) in [
            ("spiffe://td/%zz", "parse \"spiffe://td/%zz\": invalid URL escape \"%zz\""),
            ("spiffe://td/w#%z", "parse \"spiffe://td/w#%z\": invalid URL escape \"%z\""),
            ("spiffe://t d/w#x", "parse \"spiffe://t d/w\": invalid character \" \" in host name"),
            ("spiffe://%41/w", "parse \"spiffe://%41/w\": invalid URL escape \"%41\""),
            ("a://td:x/w", "parse \"a://td:x/w\": invalid port \":x\" after host"),
            ("a://[::1/w", "parse \"a://[::1/w\": missing ']' in host"),
            (":a", "parse \":a\": missing protocol scheme"),
            ("1:a", "parse \"1:a\": first path segment in URL cannot contain colon"),
            ("a://td/\n", "parse \"a://td/\\n\": net/url: invalid control character in URL"),
            ("http://a..b/", "invalid domain"),
        ] {
            let text = format!("x509: cannot parse URI {uri:?}: {reason}");
            assert_eq!(read(uri).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn domains_have_no_empty_labels() {
        assert!(is_domain("", false) && is_domain("a.b:1", false) && is_domain(".a", true));
        for bad in ["a.", ".a", "a..b", "a b", "\u{e4}"] {
            assert!(!is_domain(bad, false), "{bad}");
        }
        assert!(!is_domain("..a", true) && !is_domain(".", true));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(uri: String) {
            let _ = read(&uri);
        }
    }
}
