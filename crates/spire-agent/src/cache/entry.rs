use std::sync::Arc;

use spire_proto::convert::id::spiffe_id;
use spire_proto::convert::selector::selectors;
use spire_proto::types;
use spire_types::{Selector, SpiffeId, TrustDomain};

/// What the agent needs to know of a registration entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentEntry {
    pub id: Arc<str>,
    pub spiffe_id: SpiffeId,
    /// Sorted, without repetitions; never empty.
    pub selectors: Arc<[Selector]>,
    pub federates_with: Vec<TrustDomain>,
    pub revision: i64,
    /// Seconds since 1970; 0 from servers that do not tell.
    pub created_at: i64,
    pub hint: String,
    /// Belongs to an SVID store, never to a workload (AG-341).
    pub store_svid: bool,
    /// Signed only when asked for.
    pub disable_x509_svid_prefetch: bool,
    /// Each token must be another one (AG-386).
    pub jwt_svid_include_jti: bool,
}

impl AgentEntry {
    /// The error says what is malformed (AG-315).
    pub fn from_wire(wire: &types::Entry) -> Result<Self, String> {
        if wire.id.is_empty() {
            return Err("missing entry ID".to_owned());
        }
        let spiffe_id =
            spiffe_id(wire.spiffe_id.as_ref()).map_err(|error| format!("invalid SPIFFE ID: {error}"))?;
        let federates_with: Result<Vec<_>, _> =
            wire.federates_with.iter().map(|text| TrustDomain::parse(text)).collect();
        let federates_with =
            federates_with.map_err(|error| format!("invalid federated trust domain: {error}"))?;
        if wire.selectors.is_empty() {
            return Err("selector list is empty".to_owned());
        }
        let mut selectors = selectors(&wire.selectors).map_err(|error| error.to_string())?;
        selectors.sort_unstable();
        selectors.dedup();
        let attributes = wire.additional_attributes.unwrap_or_default();
        Ok(Self {
            id: wire.id.as_str().into(),
            spiffe_id,
            selectors: selectors.into(),
            federates_with,
            revision: wire.revision_number,
            created_at: wire.created_at,
            hint: wire.hint.clone(),
            store_svid: wire.store_svid,
            disable_x509_svid_prefetch: attributes.disable_x509_svid_prefetch,
            jwt_svid_include_jti: attributes.jwt_svid_include_jti,
        })
    }

    /// Whether the server speaks of another version, or of another entry that took the same id (AG-312).
    pub fn is_outdated(&self, revision: i64, created_at: i64) -> bool {
        self.revision != revision || (created_at != 0 && self.created_at != created_at)
    }
}

/// Whether all of `inner` is in `outer`; both are sorted and without repetitions.
pub(super) fn is_subset(inner: &[Selector], outer: &[Selector]) -> bool {
    let mut rest = outer.iter();
    inner.iter().all(|wanted| rest.by_ref().any(|found| found == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> types::Entry {
        types::Entry {
            id: "a".to_owned(),
            spiffe_id: Some(types::Spiffeid {
                trust_domain: "example.org".to_owned(),
                path: "/w".to_owned(),
            }),
            selectors: vec![types::Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() }],
            ..types::Entry::default()
        }
    }

    #[test]
    fn malformed_entries_are_told_apart_from_good_ones() {
        // AG-315: a bad entry must not take the good ones down, nor match everybody.
        assert!(AgentEntry::from_wire(&wire()).is_ok());
        let bad: [fn(&mut types::Entry); 5] = [
            |entry| entry.id.clear(),
            |entry| entry.spiffe_id = None,
            |entry| entry.selectors.clear(),
            |entry| entry.selectors[0].r#type = "a:b".to_owned(),
            |entry| entry.federates_with = vec!["NOT OK".to_owned()],
        ];
        for spoil in bad {
            let mut entry = wire();
            spoil(&mut entry);
            assert!(AgentEntry::from_wire(&entry).is_err(), "{entry:?}");
        }
    }

    #[test]
    fn a_new_entry_of_the_same_id_and_revision_is_noticed() {
        // AG-312
        let entry = AgentEntry { created_at: 5, ..AgentEntry::from_wire(&wire()).unwrap() };
        assert!(entry.is_outdated(0, 6) && entry.is_outdated(1, 5));
        assert!(!entry.is_outdated(0, 5) && !entry.is_outdated(0, 0));
    }
}
