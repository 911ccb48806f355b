//! `bundles.data` (SA-302).

use bytes::Bytes;
use spire_proto::private::spire::common::{Certificate, PublicKey};
use spire_types::{Bundle, BundleMask, JwtAuthority, TrustDomain, WitAuthority, X509Authority};

use super::{BlobError, KnownFields, Stored, scan};

impl KnownFields for Certificate {
    const FIELDS: &'static [u32] = &[1, 2];
}

impl KnownFields for PublicKey {
    const FIELDS: &'static [u32] = &[1, 2, 3, 4];
}

/// A bundle as stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BundleBlob {
    pub(crate) trust_domain_id: String,
    pub(crate) root_cas: Vec<Stored<Certificate>>,
    pub(crate) jwt_signing_keys: Vec<Stored<PublicKey>>,
    pub(crate) wit_signing_keys: Vec<Stored<PublicKey>>,
    pub(crate) refresh_hint: i64,
    pub(crate) sequence_number: u64,
    unknown: Vec<u8>,
}

impl BundleBlob {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        let mut blob = Self::default();
        let bytes = Bytes::copy_from_slice(bytes);
        for field in scan::fields(&bytes) {
            let field = field?;
            let content = || bytes.slice_ref(field.content);
            match field.number {
                1 => {
                    blob.trust_domain_id = String::from_utf8(field.content.to_vec())
                        .map_err(|_| BlobError("trust domain ID is not valid UTF-8".to_owned()))?;
                }
                2 => blob.root_cas.push(Stored::decode(content())?),
                3 => blob.jwt_signing_keys.push(Stored::decode(content())?),
                6 => blob.wit_signing_keys.push(Stored::decode(content())?),
                4 | 5 => {
                    let numbers: Numbers = prost::Message::decode(bytes.slice_ref(field.raw))
                        .map_err(|error: prost::DecodeError| BlobError(error.to_string()))?;
                    match field.number {
                        4 => blob.refresh_hint = numbers.refresh_hint,
                        _ => blob.sequence_number = numbers.sequence_number,
                    }
                }
                _ => blob.unknown.extend_from_slice(field.raw),
            }
        }
        Ok(blob)
    }

    /// Fields in ascending order, what is not known at the end, as Go writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.trust_domain_id.is_empty() {
            prost::encoding::string::encode(1, &self.trust_domain_id, &mut out);
        }
        for item in &self.root_cas {
            item.append(2, &mut out);
        }
        for item in &self.jwt_signing_keys {
            item.append(3, &mut out);
        }
        if self.refresh_hint != 0 {
            prost::encoding::int64::encode(4, &self.refresh_hint, &mut out);
        }
        if self.sequence_number != 0 {
            prost::encoding::uint64::encode(5, &self.sequence_number, &mut out);
        }
        for item in &self.wit_signing_keys {
            item.append(6, &mut out);
        }
        out.extend_from_slice(&self.unknown);
        out
    }

    pub(crate) fn from_bundle(bundle: &Bundle) -> Self {
        Self {
            trust_domain_id: bundle.trust_domain.id_string(),
            root_cas: bundle.x509_authorities.iter().map(root_ca).collect(),
            jwt_signing_keys: bundle.jwt_authorities.iter().map(jwt_key).collect(),
            wit_signing_keys: bundle.wit_authorities.iter().map(wit_key).collect(),
            refresh_hint: bundle.refresh_hint,
            sequence_number: bundle.sequence_number,
            unknown: Vec::new(),
        }
    }

    /// Overwrites the masked fields; what is replaced loses its unknown fields, what is not keeps them (SA-325).
    pub(crate) fn overwrite(&mut self, with: &Self, mask: &BundleMask) {
        if mask.x509_authorities {
            self.root_cas.clone_from(&with.root_cas);
        }
        if mask.jwt_authorities {
            self.jwt_signing_keys.clone_from(&with.jwt_signing_keys);
        }
        if mask.wit_authorities {
            self.wit_signing_keys.clone_from(&with.wit_signing_keys);
        }
        if mask.refresh_hint {
            self.refresh_hint = with.refresh_hint;
        }
        if mask.sequence_number {
            self.sequence_number = with.sequence_number;
        }
    }

    /// Adds what is not there yet and says whether anything was added (SA-327). Unlike upstream an authority that is
    /// there with another taint mark counts as there, and the stored mark stays (CA-545).
    pub(crate) fn append(&mut self, other: &Self) -> bool {
        let mut added = false;
        for item in &other.root_cas {
            if !self.root_cas.iter().any(|have| have.value.der_bytes == item.value.der_bytes) {
                self.root_cas.push(item.clone());
                added = true;
            }
        }
        for (ours, theirs) in [
            (&mut self.jwt_signing_keys, &other.jwt_signing_keys),
            (&mut self.wit_signing_keys, &other.wit_signing_keys),
        ] {
            for item in theirs {
                if !ours.iter().any(|have| same_key(&have.value, &item.value)) {
                    ours.push(item.clone());
                    added = true;
                }
            }
        }
        added
    }

    pub(crate) fn to_bundle(&self, trust_domain: TrustDomain) -> Bundle {
        Bundle {
            trust_domain,
            x509_authorities: self.root_cas.iter().map(|item| x509_authority(&item.value)).collect(),
            jwt_authorities: self.jwt_signing_keys.iter().map(|item| jwt_authority(&item.value)).collect(),
            wit_authorities: self.wit_signing_keys.iter().map(|item| wit_authority(&item.value)).collect(),
            refresh_hint: self.refresh_hint,
            sequence_number: self.sequence_number,
        }
    }
}

/// The two numeric fields, for decoding one of them.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Numbers {
    #[prost(int64, tag = "4")]
    refresh_hint: i64,
    #[prost(uint64, tag = "5")]
    sequence_number: u64,
}

fn same_key(a: &PublicKey, b: &PublicKey) -> bool {
    (&a.kid, &a.pkix_bytes, a.not_after) == (&b.kid, &b.pkix_bytes, b.not_after)
}

fn root_ca(authority: &X509Authority) -> Stored<Certificate> {
    let der_bytes = Bytes::copy_from_slice(&authority.der);
    Certificate { der_bytes, tainted_key: authority.tainted }.into()
}

fn jwt_key(authority: &JwtAuthority) -> Stored<PublicKey> {
    PublicKey {
        pkix_bytes: Bytes::copy_from_slice(&authority.public_key),
        kid: authority.key_id.clone(),
        not_after: authority.expires_at,
        tainted_key: authority.tainted,
    }
    .into()
}

fn wit_key(authority: &WitAuthority) -> Stored<PublicKey> {
    PublicKey {
        pkix_bytes: Bytes::copy_from_slice(&authority.public_key),
        kid: authority.key_id.clone(),
        not_after: authority.expires_at,
        tainted_key: authority.tainted,
    }
    .into()
}

fn x509_authority(stored: &Certificate) -> X509Authority {
    X509Authority { der: stored.der_bytes.as_ref().into(), tainted: stored.tainted_key }
}

pub(crate) fn jwt_authority(stored: &PublicKey) -> JwtAuthority {
    JwtAuthority {
        key_id: stored.kid.clone(),
        public_key: stored.pkix_bytes.as_ref().into(),
        expires_at: stored.not_after,
        tainted: stored.tainted_key,
    }
}

fn wit_authority(stored: &PublicKey) -> WitAuthority {
    WitAuthority {
        key_id: stored.kid.clone(),
        public_key: stored.pkix_bytes.as_ref().into(),
        expires_at: stored.not_after,
        tainted: stored.tainted_key,
    }
}
