//! Stored protobuf blobs, with every field that this version does not know carried along (A6, SA-303).
//!
//! A newer server of either kind may have put fields into a bundle or a CA journal that prost would drop. Messages
//! here keep them, at the top level and per item, through any number of read-modify-write rounds.

mod bundle;
mod journal;
mod scan;

use bytes::Bytes;
use prost::Message;

pub(crate) use bundle::{BundleBlob, jwt_authority};
pub use journal::JournalBlob;

/// A stored blob does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BlobError(pub(crate) String);

/// Messages whose field numbers are known, so that the rest can be told apart.
pub trait KnownFields: Message + Default {
    /// Every field number of the message as this version knows it.
    const FIELDS: &'static [u32];
}

/// A message and the fields of it that this version does not know.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored<M> {
    pub value: M,
    unknown: Bytes,
}

impl<M> From<M> for Stored<M> {
    /// A message of our own making.
    fn from(value: M) -> Self {
        Self { value, unknown: Bytes::new() }
    }
}

impl<M: KnownFields> Stored<M> {
    fn decode(bytes: Bytes) -> Result<Self, BlobError> {
        let mut unknown = Vec::new();
        for field in scan::fields(&bytes) {
            let field = field?;
            if !M::FIELDS.contains(&field.number) {
                unknown.extend_from_slice(field.raw);
            }
        }
        let value = M::decode(bytes).map_err(|error| BlobError(error.to_string()))?;
        Ok(Self { value, unknown: unknown.into() })
    }

    /// Appends the item as field `number` of a message.
    fn append(&self, number: u32, to: &mut Vec<u8>) {
        let length = self.value.encoded_len() + self.unknown.len();
        prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, to);
        prost::encoding::encode_varint(length as u64, to);
        to.reserve(length);
        // A Vec grows as needed, so encoding cannot fail.
        let _ = self.value.encode(to);
        to.extend_from_slice(&self.unknown);
    }
}
