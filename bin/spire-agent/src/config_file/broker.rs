//! `experimental.broker {}`: read and checked as SPIRE does (AG-065 to AG-070). The broker API comes with a later
//! version, so an agent that is told to serve it does not start.

use std::net::ToSocketAddrs;

use spire_config::{DecodeError, Fields, UnknownKeys};
use spire_runtime::logging::go_quote;
use spire_types::SpiffeId;

use crate::paths;

const SECTION: &str = "experimental.broker";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawBroker {
    socket_path: String,
    bind_address: String,
    brokers: Vec<RawEntry>,
}

#[derive(Debug, PartialEq, Eq)]
struct RawEntry {
    id: String,
    /// Only their type URLs: whether TCP is allowed has no rules of its own.
    allowed_reference_types: Vec<String>,
}

pub(super) fn decode(
    mut fields: Fields<'_>,
    unknown: &mut Vec<UnknownKeys>,
) -> Result<RawBroker, DecodeError> {
    let mut broker = RawBroker {
        socket_path: fields.text("socket_path")?,
        bind_address: fields.text("bind_address")?,
        brokers: Vec::new(),
    };
    let entries = fields.blocks("brokers")?;
    unknown.extend(fields.unknown(SECTION));
    for (i, mut fields) in entries.into_iter().enumerate() {
        let id = fields.text("id")?;
        let types = fields.blocks("allowed_reference_types")?;
        unknown.extend(fields.unknown(&format!("{SECTION}.brokers[{i}]")));
        let mut allowed_reference_types = Vec::new();
        for (j, mut fields) in types.into_iter().enumerate() {
            allowed_reference_types.push(fields.text("type_url")?);
            fields.flag("allow_over_tcp")?;
            unknown.extend(fields.unknown(&format!("{SECTION}.brokers[{i}].allowed_reference_types[{j}]")));
        }
        broker.brokers.push(RawEntry { id, allowed_reference_types });
    }
    Ok(broker)
}

impl RawBroker {
    /// `public_folder` is where the socket of the Workload API lies, if there is one.
    pub(super) fn check(&self, public_folder: Option<&str>) -> Result<(), String> {
        self.check_addresses(public_folder)?;
        let mut seen: Vec<&str> = Vec::new();
        for (index, entry) in self.brokers.iter().enumerate() {
            if entry.id.is_empty() {
                return Err(format!("{SECTION}.brokers[{index}].id: must be specified"));
            }
            if seen.contains(&entry.id.as_str()) {
                return Err(format!("{SECTION}.brokers[{}].id: duplicate broker id", entry.id));
            }
            seen.push(&entry.id);
        }
        self.brokers.iter().try_for_each(RawEntry::check)
    }

    fn check_addresses(&self, public_folder: Option<&str>) -> Result<(), String> {
        if self.socket_path.is_empty() && self.bind_address.is_empty() {
            return Err(format!("{SECTION} requires socket_path, bind_address, or both"));
        }
        if !self.socket_path.is_empty() {
            let path = paths::absolute(&self.socket_path)?;
            if public_folder.is_some_and(|folder| path.starts_with(&format!("{folder}/"))) {
                return Err(
                    "broker socket cannot be in the same directory or a subdirectory as that containing \
                            the Workload API socket"
                        .to_owned(),
                );
            }
        }
        if self.bind_address.is_empty() {
            return Ok(());
        }
        check_address(&self.bind_address).map_err(|reason| {
            format!("invalid {SECTION}.bind_address {}: {reason}", go_quote(&self.bind_address))
        })
    }
}

/// Go's words for why an address is none. Without a host it is every address of the machine, without a port any port.
fn check_address(address: &str) -> Result<(), String> {
    let (host, port) = split_address(address).map_err(|reason| format!("address {address}: {reason}"))?;
    let port = port_number(port)?;
    if host.is_empty() {
        return Ok(());
    }
    (host, port).to_socket_addrs().map(drop).map_err(|_| format!("lookup {host}: no such host"))
}

/// Go's `net.SplitHostPort`.
fn split_address(address: &str) -> Result<(&str, &str), &'static str> {
    const MISSING_PORT: &str = "missing port in address";
    const TOO_MANY_COLONS: &str = "too many colons in address";
    let (host, port) = address.rsplit_once(':').ok_or(MISSING_PORT)?;
    let (host, around) = match address.strip_prefix('[') {
        Some(rest) => match rest.split_once(']').ok_or("missing ']' in address")? {
            (inner, behind) if behind.strip_prefix(':') == Some(port) => (inner, inner),
            (_, behind) if behind.starts_with(':') => return Err(TOO_MANY_COLONS),
            _ => return Err(MISSING_PORT),
        },
        None if host.contains(':') => return Err(TOO_MANY_COLONS),
        None => (host, address),
    };
    if around.contains('[') || port.contains('[') {
        return Err("unexpected '[' in address");
    }
    if around.contains(']') || port.contains(']') {
        return Err("unexpected ']' in address");
    }
    Ok((host, port))
}

/// A number, or a name that Go knows by itself.
fn port_number(port: &str) -> Result<u16, String> {
    const NAMES: [(&str, u16); 14] = [
        ("ftp", 21),
        ("ftps", 990),
        ("gopher", 70),
        ("http", 80),
        ("https", 443),
        ("imap2", 143),
        ("imap3", 220),
        ("imaps", 993),
        ("pop3", 110),
        ("pop3s", 995),
        ("smtp", 25),
        ("submissions", 465),
        ("ssh", 22),
        ("telnet", 23),
    ];
    if port.is_empty() {
        return Ok(0);
    }
    let digits = port.strip_prefix(['+', '-']).unwrap_or(port);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return port.parse().map_err(|_| format!("address {port}: invalid port"));
    }
    let named = NAMES.iter().find(|(name, _)| port.eq_ignore_ascii_case(name));
    named.map(|(_, number)| *number).ok_or_else(|| format!("lookup tcp/{port}: unknown port"))
}

impl RawEntry {
    fn check(&self) -> Result<(), String> {
        let place = format!("{SECTION}.brokers[{}]", self.id);
        self.id.parse::<SpiffeId>().map_err(|error| format!("{place}.id: {error}"))?;
        let types = &self.allowed_reference_types;
        if types.is_empty() {
            return Err(format!(
                "{place}.allowed_reference_types: must list at least one reference type URL"
            ));
        }
        for (index, url) in types.iter().enumerate() {
            if url.is_empty() {
                return Err(format!("{place}.allowed_reference_types[{index}].type_url: must be specified"));
            }
            if url == "*" && types.len() != 1 {
                return Err(format!(
                    "{place}.allowed_reference_types: wildcard \"*\" must be the only allowed reference type"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_go_takes_for_one() {
        // AG-066
        for address in [":http", "1.2.3.4:", ":0", "127.0.0.1:HTTPS", "[::1]:80", "[]:80", ":"] {
            assert_eq!(check_address(address), Ok(()), "{address}");
        }
        for (address, reason) in [
            (":x", "lookup tcp/x: unknown port"),
            (":99999", "address 99999: invalid port"),
            (":-1", "address -1: invalid port"),
            ("a", "address a: missing port in address"),
            ("[::1]", "address [::1]: missing port in address"),
            ("[::1]x:1", "address [::1]x:1: missing port in address"),
            ("[::1", "address [::1: missing ']' in address"),
            ("a:b:c", "address a:b:c: too many colons in address"),
            ("[::1]:1:2", "address [::1]:1:2: too many colons in address"),
            ("a[:1", "address a[:1: unexpected '[' in address"),
            ("a:1]", "address a:1]: unexpected ']' in address"),
        ] {
            assert_eq!(check_address(address).unwrap_err(), reason);
        }
    }
}
