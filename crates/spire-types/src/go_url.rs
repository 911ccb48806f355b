//! URLs as Go reads and prints them. Go takes more than the URL standard does, refuses some of what that takes, and
//! its words are what operators see (AG-079, SA-115).

mod address;
mod error;
mod escape;
mod host;
#[cfg(test)]
mod tests;

use std::fmt;

pub use error::GoUrlError;

use error::Mistake;
use escape::{Part, check, encode, normalized, unescape};

/// A URL by the rules of Go's `net/url`. Its parts are as they were written; it prints as Go prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoUrl {
    scheme: String,
    opaque: String,
    authority: Option<Authority>,
    path: String,
    query: Option<String>,
    fragment: String,
}

/// What stands between `//` and the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Authority {
    user: Option<String>,
    host: String,
}

impl GoUrl {
    /// # Errors
    /// What Go's `url.Parse` refuses, in its words.
    pub fn parse(text: &str) -> Result<Self, GoUrlError> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut url = Self::without_fragment(rest).map_err(|mistake| GoUrlError::new(rest, mistake))?;
        check(fragment, Part::Fragment).map_err(|mistake| GoUrlError::new(text, mistake))?;
        fragment.clone_into(&mut url.fragment);
        Ok(url)
    }

    fn without_fragment(text: &str) -> Result<Self, Mistake> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Mistake::ControlCharacter);
        }
        let (scheme, rest) = split_scheme(text)?;
        let mut url = Self { scheme: scheme.to_ascii_lowercase(), ..Self::default() };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        url.query = query;
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                rest.clone_into(&mut url.opaque);
                return Ok(url);
            }
            if first_segment(rest).contains(':') {
                return Err(Mistake::ColonInFirstSegment);
            }
        }
        let may_have_authority = !url.scheme.is_empty() || !rest.starts_with("///");
        let path = match rest.strip_prefix("//").filter(|_| may_have_authority) {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                url.authority = Some(Authority::parse(&url.scheme, authority)?);
                path
            }
            None => rest,
        };
        check(path, Part::Path)?;
        path.clone_into(&mut url.path);
        Ok(url)
    }

    /// In lower case; empty if there is none.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What follows a scheme without a slash.
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    pub fn has_user(&self) -> bool {
        self.authority.as_ref().is_some_and(|authority| authority.user.is_some())
    }

    /// With the port.
    pub fn host(&self) -> &str {
        self.authority.as_ref().map_or("", |authority| &authority.host)
    }

    /// The host without port and brackets.
    pub fn hostname(&self) -> &str {
        let host = self.host();
        match host.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
            Some((inside, _)) => inside,
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        }
    }

    pub fn port(&self) -> &str {
        let host = self.host();
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn query(&self) -> &str {
        self.query.as_deref().unwrap_or_default()
    }

    pub fn fragment(&self) -> &str {
        &self.fragment
    }

    /// The names in the query, decoded; pairs that cannot be decoded are left out.
    pub fn query_keys(&self) -> Vec<String> {
        let pairs = self.query().split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        pairs.filter_map(query_key).collect()
    }
}

fn query_key(pair: &str) -> Option<String> {
    check(pair, Part::Query).ok()?;
    let key = pair.split('=').next()?.replace('+', " ");
    Some(String::from_utf8_lossy(&unescape(&key)).into_owned())
}

impl Authority {
    fn parse(scheme: &str, text: &str) -> Result<Self, Mistake> {
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        host::check_host(scheme, host)?;
        if let Some(user) = user {
            check_user(user)?;
        }
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned() })
    }

    fn is_empty(&self) -> bool {
        self.user.is_none() && self.host.is_empty()
    }
}

fn check_user(user: &str) -> Result<(), Mistake> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(is_allowed) {
        return Err(Mistake::UserInfo);
    }
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    check(name, Part::User)?;
    check(password, Part::User)
}

fn split_scheme(text: &str) -> Result<(&str, &str), Mistake> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index == 0 => return Err(Mistake::MissingScheme),
            ':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn first_segment(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Go's `URL.String`: one spelling for all that it takes for the same, except for escapes that are needless but right.
impl fmt::Display for GoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        let path = normalized(&self.path, Part::Path);
        match &self.authority {
            Some(authority) if !authority.is_empty() || !path.is_empty() => write!(f, "//{authority}")?,
            // Otherwise the start of the path would be read as a scheme.
            None if self.scheme.is_empty() && first_segment(&path).contains(':') => f.write_str("./")?,
            _ => {}
        }
        // Never both.
        f.write_str(&self.opaque)?;
        f.write_str(&path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", normalized(&self.fragment, Part::Fragment))?;
        }
        Ok(())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            let encoded: Vec<_> =
                user.splitn(2, ':').map(|part| encode(&unescape(part), Part::User)).collect();
            write!(f, "{}@", encoded.join(":"))?;
        }
        f.write_str(&encode(&unescape(&self.host), Part::Host))
    }
}
