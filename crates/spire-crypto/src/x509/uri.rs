//! Which URIs Go's `net/url` takes, as far as names in certificates need it.

use std::borrow::Cow;

use super::certificate::X509Error;
use super::strings::quoted;

/// Checks a URI and returns it as Go prints it: with a scheme in lower case and without an empty fragment.
pub(super) fn read(uri: &str) -> Result<Cow<'_, str>, X509Error> {
    let (url, fragment) = uri.split_once('#').unwrap_or((uri, ""));
    let refused = |shown: &str, reason: String| {
        let (uri, shown) = (quoted(uri), quoted(shown));
        X509Error::refused(format!("x509: cannot parse URI {uri}: parse {shown}: {reason}"))
    };
    let (scheme, host) = split(url).map_err(|reason| refused(url, reason))?;
    escapes(fragment).map_err(|reason| refused(uri, reason))?;
    if !is_domain(host, false) {
        return Err(X509Error::refused(format!("x509: cannot parse URI {}: invalid domain", quoted(uri))));
    }
    let printed = if fragment.is_empty() { url } else { uri };
    if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(scheme.to_ascii_lowercase() + &printed[scheme.len()..]));
    }
    Ok(Cow::Borrowed(printed))
}

/// Scheme and host, both possibly empty.
fn split(url: &str) -> Result<(&str, &str), String> {
    if url.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (scheme, rest) = scheme(url)?;
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    if !rest.starts_with('/') {
        let segment = rest.split('/').next().unwrap_or_default();
        return match scheme.is_empty() && segment.contains(':') {
            true => Err("first path segment in URL cannot contain colon".to_owned()),
            false if scheme.is_empty() => escapes(rest).map(|()| ("", "")),
            false => Ok((scheme, "")),
        };
    }
    let Some(authority) = rest.strip_prefix("//").filter(|rest| !scheme.is_empty() || !rest.starts_with('/'))
    else {
        return escapes(rest).map(|()| (scheme, ""));
    };
    let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    check_host(host)?;
    escapes(user)?;
    escapes(path)?;
    Ok((scheme, host))
}

fn scheme(url: &str) -> Result<(&str, &str), String> {
    match url.split_once(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))) {
        Some((scheme, rest)) if url[scheme.len()..].starts_with(':') => match scheme.bytes().next() {
            None => Err("missing protocol scheme".to_owned()),
            Some(first) if first.is_ascii_alphabetic() => Ok((scheme, rest)),
            Some(_) => Ok(("", url)),
        },
        _ => Ok(("", url)),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.rfind(']') {
        Some(end) => &host[end + 1..],
        None if host.starts_with('[') => return Err("missing ']' in host".to_owned()),
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let digits = if port.is_empty() { Some(port) } else { port.strip_prefix(':') };
    if digits.is_none_or(|digits| digits.bytes().any(|byte| !byte.is_ascii_digit())) {
        return Err(format!("invalid port {port:?} after host"));
    }
    escapes(host)?;
    let odd =
        |c: &char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.~!$&'()*+,;=:[]<>\"%".contains(*c);
    if let Some(c) = host.chars().find(odd) {
        return Err(format!("invalid character {:?} in host name", c.to_string()));
    }
    // Only what is not ASCII may be escaped in a host.
    match host
        .match_indices('%')
        .map(|(at, _)| &host[at..at + 3])
        .find(|escape| escape.as_bytes()[1] < b'8' && *escape != "%25")
    {
        Some(escape) => Err(format!("invalid URL escape {escape:?}")),
        None => Ok(()),
    }
}

/// Whether every `%` has its two digits.
fn escapes(text: &str) -> Result<(), String> {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    for (at, _) in text.match_indices('%') {
        let rest = &text.as_bytes()[at..];
        if !hex(rest.get(1)) || !hex(rest.get(2)) {
            let shown = String::from_utf8_lossy(&rest[..rest.len().min(3)]);
            return Err(format!("invalid URL escape {shown:?}"));
        }
    }
    Ok(())
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
