//! IP addresses in brackets, with the words of Go's `netip.ParseAddr` for what is none.

use std::fmt;

use crate::go_text::quote_bytes;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddressError {
    address: Vec<u8>,
    reason: &'static str,
    /// From where on; empty if that says nothing.
    rest: Vec<u8>,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParseAddr({}): {}", quote_bytes(&self.address), self.reason)?;
        if !self.rest.is_empty() {
            write!(f, " (at {})", quote_bytes(&self.rest))?;
        }
        Ok(())
    }
}

/// What is wrong, and from where on.
type Refusal<'a> = (&'static str, &'a [u8]);

const NOWHERE: &[u8] = b"";

/// Whether an address is of version 6 rather than 4.
pub(super) fn is_ipv6(address: &[u8]) -> Result<bool, AddressError> {
    let first_sign = address.iter().find(|byte| b".:%".contains(byte));
    let checked = match first_sign {
        Some(b'.') => ipv4(address),
        Some(b':') => ipv6_with_zone(address),
        Some(_) => Err(("missing IPv6 address", NOWHERE)),
        None => Err(("unable to parse IP", NOWHERE)),
    };
    match checked {
        Ok(()) => Ok(first_sign == Some(&b':')),
        Err((reason, rest)) => Err(AddressError { address: address.to_vec(), reason, rest: rest.to_vec() }),
    }
}

fn ipv6_with_zone(text: &[u8]) -> Result<(), Refusal<'_>> {
    match text.iter().position(|byte| *byte == b'%') {
        Some(at) if at + 1 == text.len() => Err(("zone must be a non-empty string", NOWHERE)),
        Some(at) => ipv6(&text[..at]),
        None => ipv6(text),
    }
}

const GROUPS: usize = 8;

fn ipv6(text: &[u8]) -> Result<(), Refusal<'_>> {
    let (mut has_gap, mut rest) = match text.strip_prefix(b"::") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut groups = 0;
    let mut is_done = has_gap && rest.is_empty();
    while !is_done && groups < GROUPS {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let after = &rest[digits..];
        match (digits, after) {
            (5.., _) => return Err(("each group must have 4 or less digits", rest)),
            (0, _) => return Err(("each colon-separated field must have at least one digit", rest)),
            (_, [b'.', ..]) => {
                check_room_for_ipv4(groups, has_gap).map_err(|reason| (reason, rest))?;
                ipv4(rest)?;
                (groups, rest, is_done) = (groups + 2, NOWHERE, true);
            }
            (_, []) => (groups, rest, is_done) = (groups + 1, NOWHERE, true),
            (_, [b':']) => return Err(("colon must be followed by more characters", after)),
            (_, [b':', b':', ..]) if has_gap => return Err(("multiple :: in address", &after[1..])),
            (_, [b':', b':', next @ ..]) => {
                (groups, rest, has_gap, is_done) = (groups + 1, next, true, next.is_empty());
            }
            (_, [b':', next @ ..]) => (groups, rest) = (groups + 1, next),
            (_, [_, ..]) => return Err(("unexpected character, want colon", after)),
        }
    }
    match (rest.is_empty(), groups < GROUPS, has_gap) {
        (false, ..) => Err(("trailing garbage after address", rest)),
        (true, true, false) => Err(("address string too short", NOWHERE)),
        (true, false, true) => Err(("the :: must expand to at least one field of zeros", NOWHERE)),
        _ => Ok(()),
    }
}

/// The last two groups may be written as an IPv4 address.
fn check_room_for_ipv4(groups: usize, has_gap: bool) -> Result<(), &'static str> {
    if !has_gap && groups != GROUPS - 2 {
        return Err("embedded IPv4 address must replace the final 2 fields of the address");
    }
    if groups > GROUPS - 2 {
        return Err("too many hex fields to fit an embedded IPv4 at the end of the address");
    }
    Ok(())
}

fn ipv4(text: &[u8]) -> Result<(), Refusal<'_>> {
    let (mut dots, mut digits, mut value) = (0, 0, 0_u16);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' if digits == 1 && value == 0 => {
                return Err(("IPv4 field has octet with leading zero", NOWHERE));
            }
            b'0'..=b'9' => {
                (digits, value) = (digits + 1, value * 10 + u16::from(byte - b'0'));
                if value > u16::from(u8::MAX) {
                    return Err(("IPv4 field has value >255", NOWHERE));
                }
            }
            b'.' if digits == 0 || index + 1 == text.len() => {
                return Err(("IPv4 field must have at least one digit", &text[index..]));
            }
            b'.' if dots == 3 => return Err(("IPv4 address too long", NOWHERE)),
            b'.' => (dots, digits, value) = (dots + 1, 0, 0),
            _ => return Err(("unexpected character", &text[index..])),
        }
    }
    if dots < 3 { Err(("IPv4 address too short", NOWHERE)) } else { Ok(()) }
}
