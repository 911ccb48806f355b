//! `ca_journals.data` (SA-305, CA-044..046).

use bytes::Bytes;
use spire_proto::private::{JwtKeyEntry, WitKeyEntry, X509caEntry};

use super::{BlobError, KnownFields, Stored, scan};

impl KnownFields for X509caEntry {
    const FIELDS: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7, 8];
}

impl KnownFields for JwtKeyEntry {
    const FIELDS: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7];
}

impl KnownFields for WitKeyEntry {
    const FIELDS: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7];
}

/// The journal of one server. New items are made with `Stored::from(message)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JournalBlob {
    pub x509_cas: Vec<Stored<X509caEntry>>,
    pub jwt_keys: Vec<Stored<JwtKeyEntry>>,
    pub wit_keys: Vec<Stored<WitKeyEntry>>,
    unknown: Vec<u8>,
}

impl JournalBlob {
    /// # Errors
    /// The bytes are no such message; upstream's texts put "unable to unmarshal entries from CA journal record: "
    /// in front (CA-053).
    pub fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        let mut blob = Self::default();
        let bytes = Bytes::copy_from_slice(bytes);
        for field in scan::fields(&bytes) {
            let field = field?;
            let content = || bytes.slice_ref(field.content);
            match field.number {
                1 => blob.x509_cas.push(Stored::decode(content())?),
                2 => blob.jwt_keys.push(Stored::decode(content())?),
                3 => blob.wit_keys.push(Stored::decode(content())?),
                _ => blob.unknown.extend_from_slice(field.raw),
            }
        }
        Ok(blob)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for item in &self.x509_cas {
            item.append(1, &mut out);
        }
        for item in &self.jwt_keys {
            item.append(2, &mut out);
        }
        for item in &self.wit_keys {
            item.append(3, &mut out);
        }
        out.extend_from_slice(&self.unknown);
        out
    }
}
