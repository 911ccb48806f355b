use spire_types::{AdditionalAttributes, Entry, EntryMask, TrustDomain};

use super::id::{member_id, spiffe_id_to_wire, workload_id};
use super::selector::{selectors, selectors_to_wire};
use crate::types;
use crate::wire_error::{ConvertError, InField};

/// Bytes, not characters, as upstream counts (SA-072).
const MAX_HINT: usize = 1024;

/// Whether a DNS name may be stored; the rule lives with the X.509 code (SA-073).
pub type DnsNameCheck<'a> = &'a dyn Fn(&str) -> Result<(), String>;

pub fn entry_mask(mask: Option<&types::EntryMask>) -> EntryMask {
    let Some(m) = mask else { return EntryMask::ALL };
    EntryMask {
        spiffe_id: m.spiffe_id,
        parent_id: m.parent_id,
        selectors: m.selectors,
        x509_svid_ttl: m.x509_svid_ttl,
        jwt_svid_ttl: m.jwt_svid_ttl,
        federates_with: m.federates_with,
        admin: m.admin,
        downstream: m.downstream,
        expires_at: m.expires_at,
        dns_names: m.dns_names,
        revision_number: m.revision_number,
        store_svid: m.store_svid,
        hint: m.hint,
        created_at: m.created_at,
        additional_attributes: m.additional_attributes,
    }
}

/// Checks an entry of a create or update request in upstream's order (SA-072).
///
/// Fields outside the mask are not checked and come out as default; the two
/// ids then stand for the trust domain itself and must not be read.
pub fn entry(
    trust_domain: &TrustDomain,
    wire: &types::Entry,
    mask: &EntryMask,
    dns_name: DnsNameCheck<'_>,
) -> Result<Entry, ConvertError> {
    let unread = || trust_domain.id();
    let parent_id = match mask.parent_id {
        true => member_id(trust_domain, wire.parent_id.as_ref()).field("invalid parent ID")?,
        false => unread(),
    };
    let spiffe_id = match mask.spiffe_id {
        true => workload_id(trust_domain, wire.spiffe_id.as_ref()).field("invalid spiffe ID")?,
        false => unread(),
    };
    let dns_names = masked(mask.dns_names, &wire.dns_names);
    for name in &dns_names {
        dns_name(name).map_err(ConvertError::Message).field("invalid DNS name")?;
    }
    let federates_with = masked(mask.federates_with, &wire.federates_with)
        .iter()
        .map(|name| TrustDomain::parse(name).field("invalid federated trust domain"))
        .collect::<Result<Vec<_>, _>>()?;
    let selectors = match mask.selectors {
        true if wire.selectors.is_empty() => return Err(ConvertError::message("selector list is empty")),
        true => selectors(&wire.selectors)?,
        false => Vec::new(),
    };
    if mask.hint && wire.hint.len() > MAX_HINT {
        return Err(ConvertError::message(format!("hint is too long, max length is {MAX_HINT} characters")));
    }
    Ok(Entry {
        id: wire.id.clone(),
        spiffe_id,
        parent_id,
        selectors,
        x509_svid_ttl: masked(mask.x509_svid_ttl, &wire.x509_svid_ttl),
        jwt_svid_ttl: masked(mask.jwt_svid_ttl, &wire.jwt_svid_ttl),
        federates_with,
        admin: mask.admin && wire.admin,
        downstream: mask.downstream && wire.downstream,
        expires_at: masked(mask.expires_at, &wire.expires_at),
        dns_names,
        revision_number: masked(mask.revision_number, &wire.revision_number),
        store_svid: mask.store_svid && wire.store_svid,
        hint: masked(mask.hint, &wire.hint),
        created_at: masked(mask.created_at, &wire.created_at),
        additional_attributes: match mask.additional_attributes {
            true => additional_attributes(wire.additional_attributes.as_ref()),
            false => None,
        },
    })
}

fn masked<T: Clone + Default>(wanted: bool, value: &T) -> T {
    if wanted { value.clone() } else { T::default() }
}

pub fn additional_attributes(
    wire: Option<&types::entry::AdditionalAttributes>,
) -> Option<AdditionalAttributes> {
    wire.map(|a| AdditionalAttributes {
        disable_x509_svid_prefetch: a.disable_x509_svid_prefetch,
        jwt_svid_include_jti: a.jwt_svid_include_jti,
    })
}

/// An entry as its readers see it, cut to the mask; the id always stays (SA-018).
pub fn entry_to_wire(entry: &Entry, mask: &EntryMask) -> types::Entry {
    types::Entry {
        id: entry.id.clone(),
        spiffe_id: mask.spiffe_id.then(|| spiffe_id_to_wire(&entry.spiffe_id)),
        parent_id: mask.parent_id.then(|| spiffe_id_to_wire(&entry.parent_id)),
        selectors: if mask.selectors { selectors_to_wire(&entry.selectors) } else { Vec::new() },
        x509_svid_ttl: masked(mask.x509_svid_ttl, &entry.x509_svid_ttl),
        federates_with: match mask.federates_with {
            true => entry.federates_with.iter().map(|td| td.as_str().to_owned()).collect(),
            false => Vec::new(),
        },
        admin: mask.admin && entry.admin,
        downstream: mask.downstream && entry.downstream,
        expires_at: masked(mask.expires_at, &entry.expires_at),
        dns_names: masked(mask.dns_names, &entry.dns_names),
        revision_number: masked(mask.revision_number, &entry.revision_number),
        store_svid: mask.store_svid && entry.store_svid,
        jwt_svid_ttl: masked(mask.jwt_svid_ttl, &entry.jwt_svid_ttl),
        hint: masked(mask.hint, &entry.hint),
        created_at: masked(mask.created_at, &entry.created_at),
        additional_attributes: entry.additional_attributes.filter(|_| mask.additional_attributes).map(|a| {
            types::entry::AdditionalAttributes {
                disable_x509_svid_prefetch: a.disable_x509_svid_prefetch,
                jwt_svid_include_jti: a.jwt_svid_include_jti,
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> types::Entry {
        let id = |path: &str| Some(types::Spiffeid { trust_domain: "td".into(), path: path.into() });
        types::Entry {
            spiffe_id: id("/w"),
            parent_id: id("/spire/server"),
            selectors: vec![types::Selector { r#type: "unix".into(), value: "uid:1".into() }],
            ..Default::default()
        }
    }

    fn convert(wire: &types::Entry, mask: &EntryMask) -> Result<Entry, String> {
        let td = "td".parse().unwrap();
        entry(&td, wire, mask, &|name| if name == "bad" { Err("no".into()) } else { Ok(()) })
            .map_err(|e| e.to_string())
    }

    #[test]
    fn the_first_wrong_field_is_named_in_upstreams_order() {
        // SA-072
        let good = wire();
        assert!(convert(&good, &EntryMask::ALL).is_ok());
        type Spoil = Box<dyn Fn(&mut types::Entry)>;
        let cases: Vec<(Spoil, &str)> = vec![
            (Box::new(|e| e.parent_id = None), "invalid parent ID: request must specify SPIFFE ID"),
            (
                Box::new(|e| e.spiffe_id.as_mut().unwrap().path = "/spire/x".into()),
                "invalid spiffe ID: \"spiffe://td/spire/x\" is not a workload in trust domain \"td\"; path is in the reserved namespace",
            ),
            (Box::new(|e| e.dns_names = vec!["bad".into()]), "invalid DNS name: no"),
            (
                Box::new(|e| e.federates_with = vec!["".into()]),
                "invalid federated trust domain: trust domain is missing",
            ),
            (Box::new(|e| e.selectors.clear()), "selector list is empty"),
            (Box::new(|e| e.selectors[0].value.clear()), "missing selector value"),
            (Box::new(|e| e.hint = "h".repeat(1025)), "hint is too long, max length is 1024 characters"),
        ];
        for (spoil, expected) in cases {
            let mut bad = wire();
            spoil(&mut bad);
            assert_eq!(convert(&bad, &EntryMask::ALL).unwrap_err(), expected);
        }
    }

    #[test]
    fn what_the_mask_leaves_out_is_not_checked() {
        let mut mask = EntryMask::ALL;
        (mask.spiffe_id, mask.parent_id, mask.selectors) = (false, false, false);
        let empty = types::Entry { id: "x".into(), ..Default::default() };
        assert_eq!(convert(&empty, &mask).unwrap().id, "x");
    }
}
