//! URLs as Go reads them. It accepts more than the URL standard does, and its words are what operators see (AG-079).

use spire_runtime::logging::go_quote;

/// The parts that configuration is checked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GoUrl {
    /// Lower case.
    pub scheme: String,
    /// What follows a scheme without a slash.
    pub opaque: String,
    pub has_user: bool,
    /// With the port.
    pub host: String,
    pub path: String,
    pub query: String,
    pub fragment: String,
}

/// Which part a text stands in; they allow different characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Host,
    Zone,
    Other,
}

impl GoUrl {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let failed = |whole: &str, reason: String| format!("parse {}: {reason}", go_quote(whole));
        let mut url = Self::without_fragment(rest).map_err(|reason| failed(rest, reason))?;
        check_escapes(fragment, Part::Other).map_err(|reason| failed(text, reason))?;
        fragment.clone_into(&mut url.fragment);
        Ok(url)
    }

    fn without_fragment(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let mut url = Self::default();
        let (scheme, rest) = split_scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        query.clone_into(&mut url.query);
        let mut path = rest;
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                rest.clone_into(&mut url.opaque);
                return Ok(url);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let has_authority = !url.scheme.is_empty() || !rest.starts_with("///");
        if let Some(after) = rest.strip_prefix("//").filter(|_| has_authority) {
            let (authority, after) = after.split_at(after.find('/').unwrap_or(after.len()));
            url.set_authority(authority)?;
            path = after;
        }
        check_escapes(path, Part::Other)?;
        path.clone_into(&mut url.path);
        Ok(url)
    }

    fn set_authority(&mut self, authority: &str) -> Result<(), String> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        check_host(host)?;
        host.clone_into(&mut self.host);
        let Some(user) = user else { return Ok(()) };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
        if !user.chars().all(allowed) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        self.has_user = true;
        check_escapes(user, Part::Other)
    }

    /// The host without port and brackets.
    pub(super) fn hostname(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inside, _)) => inside,
            None => self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name),
        }
    }

    pub(super) fn port(&self) -> &str {
        let after = self.host.rsplit_once(']').map_or(self.host.as_str(), |(_, after)| after);
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// The names in the query, decoded; what cannot be decoded is left out.
    pub(super) fn query_keys(&self) -> Vec<String> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        pairs.filter_map(|pair| decode(pair.split('=').next().unwrap_or_default())).collect()
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn check_host(host: &str) -> Result<(), String> {
    let check_port = |port: &str| {
        let digits = port.strip_prefix(':').unwrap_or(port);
        let is_valid =
            port.is_empty() || (port.starts_with(':') && digits.bytes().all(|digit| digit.is_ascii_digit()));
        if is_valid { Ok(()) } else { Err(format!("invalid port {} after host", go_quote(port))) }
    };
    if !host.starts_with('[') {
        check_port(host.rfind(':').map_or("", |colon| &host[colon..]))?;
        return check_escapes(host, Part::Host);
    }
    let end = host.rfind(']').ok_or("missing ']' in host")?;
    check_port(&host[end + 1..])?;
    match host[..end].find("%25") {
        Some(zone) => {
            check_escapes(&host[..zone], Part::Host)?;
            check_escapes(&host[zone..end], Part::Zone)?;
            check_escapes(&host[end..], Part::Host)
        }
        None => check_escapes(host, Part::Host),
    }
}

/// Whether every `%` begins a byte in hexadecimal and no character stands where it may not.
fn check_escapes(text: &str, part: Part) -> Result<(), String> {
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b'%' {
            let escape = &bytes[index..bytes.len().min(index + 3)];
            let value = hex_byte(escape);
            let is_wrong = match (value, part) {
                (None, _) => true,
                (Some(value), Part::Host) => value < 0x80 && escape != b"%25",
                (Some(value), Part::Zone) => escape != b"%25" && value != b' ' && !fits_host(value),
                (Some(_), Part::Other) => false,
            };
            if is_wrong {
                return Err(format!("invalid URL escape {}", go_quote(&String::from_utf8_lossy(escape))));
            }
            index += 3;
            continue;
        }
        let byte = bytes[index];
        if part != Part::Other && byte < 0x80 && !fits_host(byte) {
            let character = go_quote(&char::from(byte).to_string());
            return Err(format!("invalid character {character} in host name"));
        }
        index += 1;
    }
    Ok(())
}

fn fits_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$&'()*+,;=:[]<>\"-_.~".contains(&byte)
}

fn hex_byte(escape: &[u8]) -> Option<u8> {
    let [b'%', high, low] = escape else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            b'%' => {
                out.push(hex_byte(bytes.get(index..index + 3)?)?);
                index += 2;
            }
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
        index += 1;
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_gos_words() {
        // AG-079; recorded from SPIRE 1.15.3
        for (text, error) in [
            (":x", "parse \":x\": missing protocol scheme"),
            ("https://a b", "parse \"https://a b\": invalid character \" \" in host name"),
            ("https://a:xx/", "parse \"https://a:xx/\": invalid port \":xx\" after host"),
            ("https://%zz", "parse \"https://%zz\": invalid URL escape \"%zz\""),
            ("https://[::1", "parse \"https://[::1\": missing ']' in host"),
            ("1https://a", "parse \"1https://a\": first path segment in URL cannot contain colon"),
            ("https://a/%zz", "parse \"https://a/%zz\": invalid URL escape \"%zz\""),
            ("foo bar:baz", "parse \"foo bar:baz\": first path segment in URL cannot contain colon"),
            ("https://[fe80::1%en0]:1", "parse \"https://[fe80::1%en0]:1\": invalid URL escape \"%en\""),
        ] {
            assert_eq!(GoUrl::parse(text).unwrap_err(), error);
        }
    }

    #[test]
    fn what_go_accepts_is_accepted() {
        // AG-079; recorded from SPIRE 1.15.3
        for text in [
            "https://",
            "HTTPS://a",
            "https://a@@b",
            "https://u:p@x",
            "https://a?%zz",
            "https://a/?x y",
            "https://ä.de",
            "https://a<b",
            "https://[fe80::1%25en0]:1",
        ] {
            assert_eq!(GoUrl::parse(text).unwrap().scheme, "https", "{text}");
        }
        assert_eq!(GoUrl::parse("a:b:c").unwrap().opaque, "b:c");
    }

    #[test]
    fn names_of_the_query_are_decoded() {
        // AG-081
        let url = GoUrl::parse("http://a?sp%69re-x=1&b+c&d;e&%zz=1").unwrap();
        assert_eq!(url.query_keys(), ["spire-x", "b c"]);
    }
}
