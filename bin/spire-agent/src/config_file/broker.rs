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
        // Without a host it is every address of the machine.
        let address = match self.bind_address.strip_prefix(':') {
            Some(port) => format!("0.0.0.0:{port}"),
            None => self.bind_address.clone(),
        };
        address.to_socket_addrs().map(drop).map_err(|_| {
            let reason = match self.bind_address.rsplit_once(':') {
                None => format!("address {}: missing port in address", self.bind_address),
                Some((_, port)) if port.parse::<u16>().is_err() => format!("address {port}: invalid port"),
                Some((host, _)) => format!("lookup {host}: no such host"),
            };
            format!("invalid {SECTION}.bind_address {}: {reason}", go_quote(&self.bind_address))
        })
    }
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
