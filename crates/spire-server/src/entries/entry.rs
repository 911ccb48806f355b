//! One entry as the index keeps it: encoded once, sent many times.

use bytes::Bytes;
use prost::Message as _;
use spire_proto::convert::entry::entry_to_wire;
use spire_proto::types;
use spire_types::{Entry, EntryMask, TrustDomain, UnixSeconds};

use super::key::{Key, Keys};

/// What SPIRE's agents ask for. Entries are stored so that this part can be sent as it is.
pub const AGENT_MASK: EntryMask = EntryMask {
    spiffe_id: true,
    parent_id: false,
    selectors: true,
    x509_svid_ttl: false,
    jwt_svid_ttl: false,
    federates_with: true,
    admin: true,
    downstream: true,
    expires_at: false,
    dns_names: false,
    revision_number: true,
    store_svid: true,
    hint: true,
    created_at: true,
    additional_attributes: true,
};

/// The other fields.
const REST_MASK: EntryMask = EntryMask {
    spiffe_id: false,
    parent_id: true,
    selectors: false,
    x509_svid_ttl: true,
    jwt_svid_ttl: true,
    federates_with: false,
    admin: false,
    downstream: false,
    expires_at: true,
    dns_names: true,
    revision_number: false,
    store_svid: false,
    hint: false,
    created_at: false,
    additional_attributes: false,
};

/// A registration entry in the index.
#[derive(Debug, PartialEq, Eq)]
pub struct IndexedEntry {
    pub(super) key: Key,
    pub(super) parent: Key,
    pub(super) spiffe: Key,
    /// Position in the order in which this process met the entries; stays over updates.
    pub(super) seq: u32,
    agent_len: u32,
    revision: i64,
    created_at: UnixSeconds,
    federates_with: Box<[TrustDomain]>,
    /// The fields of [`AGENT_MASK`], then the others: together a complete `types.Entry`.
    wire: Box<[u8]>,
}

impl IndexedEntry {
    pub(super) fn new(entry: &Entry, seq: u32, keys: &Keys) -> Self {
        let mut wire = entry_to_wire(entry, &AGENT_MASK).encode_to_vec();
        let agent_len = u32::try_from(wire.len()).unwrap_or(u32::MAX);
        let mut rest = entry_to_wire(entry, &REST_MASK);
        rest.id = String::new();
        wire.reserve_exact(rest.encoded_len());
        // A Vec grows as needed, so encoding cannot fail.
        let _ = rest.encode(&mut wire);
        Self {
            key: keys.entry_id(&entry.id),
            parent: keys.path(entry.parent_id.path()),
            spiffe: keys.path(entry.spiffe_id.path()),
            seq,
            agent_len,
            revision: entry.revision_number,
            created_at: entry.created_at,
            federates_with: entry.federates_with.clone().into(),
            wire: wire.into(),
        }
    }

    /// The entry id.
    pub fn id(&self) -> &str {
        // Field 1 comes first: key, length, text. Ids have at most 255 bytes (SA-345), so lengths take one byte or two.
        let (start, length) = match self.wire.get(1..3) {
            Some([short, _]) if *short < 0x80 => (2, usize::from(*short)),
            Some([low, high]) => (3, usize::from(*low & 0x7f) | usize::from(*high) << 7),
            _ => return "",
        };
        self.wire.get(start..start + length).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or("")
    }

    pub fn revision(&self) -> i64 {
        self.revision
    }

    pub fn created_at(&self) -> UnixSeconds {
        self.created_at
    }

    /// Trust domains whose bundles come with this entry.
    pub fn federates_with(&self) -> &[TrustDomain] {
        &self.federates_with
    }

    /// An encoded `types.Entry` with the fields of [`AGENT_MASK`].
    fn agent_wire(&self) -> &[u8] {
        self.wire.get(..self.agent_len as usize).unwrap_or(&self.wire)
    }

    /// The whole entry as a message.
    pub fn message(&self) -> types::Entry {
        // Encoded by `new`, so it decodes.
        types::Entry::decode(&*self.wire).unwrap_or_default()
    }

    /// The entry as an encoded message, cut to the mask; free of work for what agents ask for.
    pub fn encoded(&self, mask: &EntryMask) -> Bytes {
        match *mask {
            AGENT_MASK => Bytes::copy_from_slice(self.agent_wire()),
            EntryMask::ALL => Bytes::copy_from_slice(&self.wire),
            _ => self.masked(mask).encode_to_vec().into(),
        }
    }

    /// The entry as a message, cut to the mask.
    fn masked(&self, mask: &EntryMask) -> types::Entry {
        cut(self.message(), mask)
    }

    /// Whether another version of the same entry would look the same to everybody.
    pub(super) fn same_content(&self, other: &Self) -> bool {
        self.wire == other.wire
    }
}

/// Clears what the mask leaves out; the id always stays (SA-018).
fn cut(mut entry: types::Entry, mask: &EntryMask) -> types::Entry {
    macro_rules! clear {
        ($($field:ident),*) => { $( if !mask.$field { entry.$field = Default::default(); } )* };
    }
    clear!(
        spiffe_id,
        parent_id,
        selectors,
        x509_svid_ttl,
        jwt_svid_ttl,
        federates_with,
        admin,
        downstream,
        expires_at,
        dns_names,
        revision_number,
        store_svid,
        hint,
        created_at,
        additional_attributes
    );
    entry
}

#[cfg(test)]
pub(super) mod tests {
    use spire_types::{Selector, SpiffeId};

    use super::*;

    pub(in crate::entries) fn id(path: &str) -> SpiffeId {
        SpiffeId::from_path(TrustDomain::parse("example.org").unwrap(), path).unwrap()
    }

    pub(in crate::entries) fn entry(id_text: &str, parent: &str, path: &str, selectors: &[&str]) -> Entry {
        let selectors = selectors.iter().map(|text| Selector::parse(text).unwrap()).collect();
        Entry { id: id_text.into(), ..Entry::new(id(path), id(parent), selectors) }
    }

    #[test]
    fn stored_form_is_a_whole_entry_of_which_the_first_part_is_what_agents_ask_for() {
        // SA-083, SA-085
        let mut full = entry("0a1b", "/spire/agent/x", "/web", &["unix:uid:1", "unix:gid:2"]);
        (full.x509_svid_ttl, full.jwt_svid_ttl, full.hint, full.created_at) = (60, 30, "h".into(), 77);
        (full.dns_names, full.revision_number, full.admin) = (vec!["a".into(), "b".into()], 3, true);
        full.federates_with = vec![TrustDomain::parse("other.org").unwrap()];
        full.additional_attributes = Some(spire_types::AdditionalAttributes {
            disable_x509_svid_prefetch: true,
            jwt_svid_include_jti: true,
        });
        for id in ["0a1b".to_owned(), "x".repeat(127), "x".repeat(128), "y".repeat(255)] {
            full.id = id.clone();
            let indexed = IndexedEntry::new(&full, 0, &Keys::default());
            assert_eq!(indexed.id(), id);
            assert_eq!(indexed.message(), entry_to_wire(&full, &EntryMask::ALL));
            assert_eq!(
                types::Entry::decode(indexed.agent_wire()).unwrap(),
                entry_to_wire(&full, &AGENT_MASK)
            );
            for mask in [AGENT_MASK, REST_MASK, EntryMask::ALL] {
                let encoded = types::Entry::decode(indexed.encoded(&mask)).unwrap();
                assert_eq!(encoded, entry_to_wire(&full, &mask));
            }
        }
    }
}
