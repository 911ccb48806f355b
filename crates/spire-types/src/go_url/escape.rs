//! Percent signs, and which characters go without.

use std::fmt::Write;

use super::error::Mistake;

/// Where in a URL a text stands; each place allows other characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    User,
    Host,
    /// What follows `%25` in an IPv6 address (RFC 6874).
    Zone,
    Path,
    Query,
    Fragment,
}

impl Part {
    /// Whether Go prints a byte as it is.
    fn keeps(self, byte: u8) -> bool {
        let more: &[u8] = match self {
            Self::User => b"$&+,;=",
            Self::Host | Self::Zone => b"!$&'()*+,;=:[]<>\"",
            Self::Path => b"$&+,/:;=@",
            Self::Query => b"",
            Self::Fragment => b"!$&()*+,/:;=?@",
        };
        byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || more.contains(&byte)
    }

    /// Whether a byte may be written as an escape. In hosts that is for what is not ASCII.
    fn takes_escaped(self, byte: u8) -> bool {
        match self {
            Self::Host => byte == b'%' || !byte.is_ascii(),
            Self::Zone => byte == b'%' || byte == b' ' || self.keeps(byte),
            _ => true,
        }
    }

    /// Whether a byte may be written as it is; outside of hosts Go is not strict.
    fn takes_bare(self, byte: u8) -> bool {
        match self {
            Self::Host | Self::Zone => self.keeps(byte) || !byte.is_ascii(),
            _ => true,
        }
    }
}

/// Whether every `%` begins a byte in hexadecimal, and nothing stands where it may not.
pub(super) fn check(text: &str, part: Part) -> Result<(), Mistake> {
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            if !escaped_byte(rest).is_some_and(|escaped| part.takes_escaped(escaped)) {
                return Err(Mistake::Escape(rest[..rest.len().min(3)].to_vec()));
            }
            rest = &rest[3..];
        } else if part.takes_bare(byte) {
            rest = after;
        } else {
            return Err(Mistake::HostCharacter(char::from(byte).to_string()));
        }
    }
    Ok(())
}

/// The byte that the escape at the start of a text stands for.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// What a checked text stands for.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = escaped_byte(rest);
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &rest[3..] } else { after };
    }
    bytes
}

pub(super) fn encode(bytes: &[u8], part: Part) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if part.keeps(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// How Go prints a path or fragment: as it was written, or all escaped anew if anything in it needs to be.
pub(super) fn normalized(text: &str, part: Part) -> String {
    let is_fine = |byte: u8| part.keeps(byte) || b"!$&'()*+,;=:@[]%".contains(&byte);
    if text.bytes().all(is_fine) { text.to_owned() } else { encode(&unescape(text), part) }
}
