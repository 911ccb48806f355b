//! Responses that are put together from entries encoded earlier.
//!
//! On the wire they are `SyncAuthorizedEntriesResponse` and `GetAuthorizedEntriesResponse`; here they are messages
//! of their own, so that a method can be served with them through an ordinary prost codec without building and
//! encoding every entry again for every agent.

use std::sync::Arc;

use bytes::BufMut;
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, bool, encode_key, encode_varint, encoded_len_varint, int64, key_len, string,
};

use super::entry::IndexedEntry;

const REVISIONS: u32 = 1;
const SYNC_ENTRIES: u32 = 2;
const MORE: u32 = 3;
const GET_ENTRIES: u32 = 1;

/// How much of each entry goes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EntryDetail {
    /// Id, revision and creation time (SA-087).
    Revision,
    /// The fields of [`super::AGENT_MASK`].
    Agent,
    #[default]
    Full,
}

/// One page of `SyncAuthorizedEntriesResponse`.
#[derive(Debug, Clone, Default)]
pub struct RawSyncPage {
    pub entries: Vec<Arc<IndexedEntry>>,
    pub detail: EntryDetail,
    pub more: bool,
}

/// A `GetAuthorizedEntriesResponse`.
#[derive(Debug, Clone, Default)]
pub struct RawAuthorizedEntries {
    pub entries: Vec<Arc<IndexedEntry>>,
    pub detail: EntryDetail,
}

fn part(entry: &IndexedEntry, detail: EntryDetail) -> &[u8] {
    match detail {
        EntryDetail::Agent => entry.agent_wire(),
        EntryDetail::Full | EntryDetail::Revision => entry.full_wire(),
    }
}

fn revision_len(entry: &IndexedEntry) -> usize {
    let (id, revision, created_at) = (entry.id(), entry.revision(), entry.created_at());
    let optional = |value: &i64, tag| if *value == 0 { 0 } else { int64::encoded_len(tag, value) };
    1 + encoded_len_varint(id.len() as u64) + id.len() + optional(&revision, 2) + optional(&created_at, 3)
}

fn encode_revision(entry: &IndexedEntry, buf: &mut impl BufMut) {
    encode_key(REVISIONS, WireType::LengthDelimited, buf);
    encode_varint(revision_len(entry) as u64, buf);
    string::encode(1, &entry.id().to_owned(), buf);
    if entry.revision() != 0 {
        int64::encode(2, &entry.revision(), buf);
    }
    if entry.created_at() != 0 {
        int64::encode(3, &entry.created_at(), buf);
    }
}

fn encode_entries(entries: &[Arc<IndexedEntry>], detail: EntryDetail, tag: u32, buf: &mut impl BufMut) {
    for entry in entries {
        let wire = part(entry, detail);
        encode_key(tag, WireType::LengthDelimited, buf);
        encode_varint(wire.len() as u64, buf);
        buf.put_slice(wire);
    }
}

fn entries_len(entries: &[Arc<IndexedEntry>], detail: EntryDetail, tag: u32) -> usize {
    let one = |entry: &Arc<IndexedEntry>| {
        let length = match detail {
            EntryDetail::Revision => revision_len(entry),
            _ => part(entry, detail).len(),
        };
        key_len(tag) + encoded_len_varint(length as u64) + length
    };
    entries.iter().map(one).sum()
}

impl prost::Message for RawSyncPage {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        match self.detail {
            EntryDetail::Revision => self.entries.iter().for_each(|entry| encode_revision(entry, buf)),
            detail => encode_entries(&self.entries, detail, SYNC_ENTRIES, buf),
        }
        if self.more {
            bool::encode(MORE, &self.more, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl bytes::Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        // Only ever sent.
        prost::encoding::skip_field(wire_type, tag, buf, context)
    }

    fn encoded_len(&self) -> usize {
        entries_len(&self.entries, self.detail, SYNC_ENTRIES)
            + if self.more { bool::encoded_len(MORE, &self.more) } else { 0 }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl prost::Message for RawAuthorizedEntries {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        encode_entries(&self.entries, self.detail, GET_ENTRIES, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl bytes::Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        // Only ever sent.
        prost::encoding::skip_field(wire_type, tag, buf, context)
    }

    fn encoded_len(&self) -> usize {
        match self.detail {
            // Not a form this message has.
            EntryDetail::Revision => entries_len(&self.entries, EntryDetail::Full, GET_ENTRIES),
            detail => entries_len(&self.entries, detail, GET_ENTRIES),
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
