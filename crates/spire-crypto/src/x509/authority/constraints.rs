//! Name constraints (RFC 5280 section 4.2.1.10), as Go reads them.

use std::net::IpAddr;

use super::{X509Error, refused};
use crate::elements::{Elements, SEQUENCE, constructed};
use crate::x509::certificate::{ADDRESS, DNS, EMAIL, URI};
use crate::x509::uri::is_domain;

pub(super) fn check(value: Elements<'_>) -> Result<(), X509Error> {
    let trees = subtrees(value).ok_or_else(refused("invalid NameConstraints extension"))?;
    if trees.iter().all(|tree| tree.is_none_or(|tree| tree.is_empty())) {
        return Err(refused("empty name constraints extension")());
    }
    trees.into_iter().flatten().try_for_each(subtree)
}

/// What is permitted and what is excluded.
fn subtrees(mut value: Elements<'_>) -> Option<[Option<Elements<'_>>; 2]> {
    let mut trees = value.inside(SEQUENCE).filter(|_| value.is_empty())?;
    let found = [trees.optional(constructed(0))?, trees.optional(constructed(1))?];
    trees.is_empty().then_some(found)
}

fn subtree(mut tree: Elements<'_>) -> Result<(), X509Error> {
    while !tree.is_empty() {
        let base = tree.inside(SEQUENCE).and_then(|mut subtree| subtree.any());
        let base = base.ok_or_else(refused("invalid NameConstraints extension"))?;
        match base.tag {
            DNS => check_text(base.content, "dnsName", |name| is_domain(name, true))?,
            EMAIL => check_text(base.content, "rfc822Name", is_mailbox)?,
            URI => {
                let is_address = |name: &str| name.parse::<IpAddr>().is_ok();
                if let Some(name) = std::str::from_utf8(base.content).ok().filter(|name| is_address(name)) {
                    return Err(X509Error::refused(format!(
                        "x509: failed to parse URI constraint {name:?}: cannot be IP address"
                    )));
                }
                check_text(base.content, "URI", |name| is_domain(name, true))?;
            }
            ADDRESS => check_range(base.content)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_text(content: &[u8], kind: &str, fits: impl Fn(&str) -> bool) -> Result<(), X509Error> {
    let text = String::from_utf8_lossy(content);
    if !content.is_ascii() {
        return Err(X509Error::refused(format!(
            "x509: invalid constraint value: x509: {text:?} cannot be encoded as an IA5String"
        )));
    }
    match fits(&text) {
        true => Ok(()),
        false => Err(X509Error::refused(format!("x509: failed to parse {kind} constraint {text:?}"))),
    }
}

/// A mailbox or, without an `@`, its domain.
fn is_mailbox(name: &str) -> bool {
    match name.rsplit_once('@') {
        Some((user, domain)) => !user.is_empty() && !domain.is_empty() && is_domain(domain, false),
        None => is_domain(name, true),
    }
}

/// An address and a mask: ones, then zeros.
fn check_range(range: &[u8]) -> Result<(), X509Error> {
    if range.len() != 8 && range.len() != 32 {
        return Err(X509Error::refused(format!(
            "x509: IP constraint contained value of length {}",
            range.len()
        )));
    }
    let mask = &range[range.len() / 2..];
    let from = mask.iter().position(|byte| *byte != 0xff).unwrap_or(mask.len());
    let rest = &mask[from..];
    let partial = rest.first().is_none_or(|byte| byte.leading_ones() + byte.trailing_zeros() == 8);
    match partial && rest.iter().skip(1).all(|byte| *byte == 0) {
        true => Ok(()),
        false => {
            let mask = hex::encode(mask);
            Err(X509Error::refused(format!("x509: IP constraint contained invalid mask {mask}")))
        }
    }
}
