use super::address;
use super::error::Mistake;
use super::escape::{Part, check, unescape};

/// Checks a host with or without port: a name, or an IPv6 address in brackets.
pub(super) fn check_host(scheme: &str, host: &str) -> Result<(), Mistake> {
    match host.rfind('[') {
        Some(0) => check_literal(host),
        Some(_) => Err(Mistake::IpLiteral),
        None => {
            // Connection strings of databases list several hosts with ports; HTTP has one.
            let is_http = matches!(scheme, "http" | "https");
            let colon = if is_http { host.find(':') } else { host.rfind(':') };
            check_port(&host[colon.unwrap_or(host.len())..])?;
            check(host, Part::Host)
        }
    }
}

fn check_literal(host: &str) -> Result<(), Mistake> {
    let (inside, port) = host.rsplit_once(']').ok_or(Mistake::MissingBracket)?;
    check_port(port)?;
    let inside = inside.strip_prefix('[').unwrap_or(inside);
    let (address, zone) = inside.split_at(inside.find("%25").unwrap_or(inside.len()));
    check(address, Part::Host)?;
    check(zone, Part::Zone)?;
    if address::is_ipv6(&unescape(inside)).map_err(Mistake::Address)? {
        Ok(())
    } else {
        Err(Mistake::IpLiteral)
    }
}

/// Digits after a colon, as many as one likes; or nothing at all.
fn check_port(port: &str) -> Result<(), Mistake> {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match port.strip_prefix(':') {
        Some(digits) if is_port(digits) => Ok(()),
        None if port.is_empty() => Ok(()),
        _ => Err(Mistake::Port(port.to_owned())),
    }
}
