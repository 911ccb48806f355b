use spire_types::{Bundle, BundleMask, JwtAuthority, TrustDomain, WitAuthority, X509Authority};

use crate::types;
use crate::wire_error::{ConvertError, InField};

/// Whether key material parses; the parsers live with the crypto code.
#[derive(Clone, Copy)]
pub struct KeyChecks<'a> {
    /// Zero or more DER certificates in a row (SA-031).
    pub x509: &'a dyn Fn(&[u8]) -> Result<(), String>,
    /// One PKIX public key (SA-032).
    pub pkix: &'a dyn Fn(&[u8]) -> Result<(), String>,
}

impl std::fmt::Debug for KeyChecks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyChecks")
    }
}

pub fn bundle_mask(mask: Option<&types::BundleMask>) -> BundleMask {
    let Some(m) = mask else { return BundleMask::ALL };
    BundleMask {
        x509_authorities: m.x509_authorities,
        jwt_authorities: m.jwt_authorities,
        wit_authorities: m.wit_authorities,
        refresh_hint: m.refresh_hint,
        sequence_number: m.sequence_number,
    }
}

/// A bundle of a request. Taint bits and WIT keys are not taken from
/// requests (SA-031 to SA-033).
pub fn bundle(wire: &types::Bundle, checks: KeyChecks<'_>) -> Result<Bundle, ConvertError> {
    let trust_domain = TrustDomain::parse(&wire.trust_domain).field("invalid trust domain")?;
    let x509_authorities =
        x509_authorities(&wire.x509_authorities, checks).field("unable to parse X.509 authority")?;
    let jwt_authorities =
        jwt_authorities(&wire.jwt_authorities, checks).field("unable to parse JWT authority")?;
    Ok(Bundle {
        trust_domain,
        x509_authorities,
        jwt_authorities,
        wit_authorities: Vec::new(),
        refresh_hint: wire.refresh_hint,
        sequence_number: wire.sequence_number,
    })
}

pub fn x509_authorities(
    wire: &[types::X509Certificate],
    checks: KeyChecks<'_>,
) -> Result<Vec<X509Authority>, ConvertError> {
    wire.iter()
        .map(|cert| {
            (checks.x509)(&cert.asn1).map_err(ConvertError::Message)?;
            Ok(X509Authority { der: cert.asn1.as_ref().into(), tainted: false })
        })
        .collect()
}

pub fn jwt_authorities(
    wire: &[types::JwtKey],
    checks: KeyChecks<'_>,
) -> Result<Vec<JwtAuthority>, ConvertError> {
    wire.iter().map(|key| jwt_authority(key, checks)).collect()
}

pub fn jwt_authority(wire: &types::JwtKey, checks: KeyChecks<'_>) -> Result<JwtAuthority, ConvertError> {
    (checks.pkix)(&wire.public_key).map_err(ConvertError::Message)?;
    if wire.key_id.is_empty() {
        return Err(ConvertError::message("missing key ID"));
    }
    Ok(JwtAuthority {
        key_id: wire.key_id.clone(),
        public_key: wire.public_key.as_ref().into(),
        expires_at: wire.expires_at,
        tainted: false,
    })
}

/// A bundle as another SPIRE process sends it, taint bits and WIT keys kept;
/// for the agent, which trusts its server.
pub fn bundle_from_peer(wire: &types::Bundle) -> Result<Bundle, ConvertError> {
    Ok(Bundle {
        trust_domain: TrustDomain::parse(&wire.trust_domain).field("invalid trust domain")?,
        x509_authorities: wire
            .x509_authorities
            .iter()
            .map(|c| X509Authority { der: c.asn1.as_ref().into(), tainted: c.tainted })
            .collect(),
        jwt_authorities: wire
            .jwt_authorities
            .iter()
            .map(|k| JwtAuthority {
                key_id: k.key_id.clone(),
                public_key: k.public_key.as_ref().into(),
                expires_at: k.expires_at,
                tainted: k.tainted,
            })
            .collect(),
        wit_authorities: wire
            .wit_authorities
            .iter()
            .map(|k| WitAuthority {
                key_id: k.key_id.clone(),
                public_key: k.public_key.as_ref().into(),
                expires_at: k.expires_at,
                tainted: k.tainted,
            })
            .collect(),
        refresh_hint: wire.refresh_hint,
        sequence_number: wire.sequence_number,
    })
}

pub fn jwt_authority_to_wire(key: &JwtAuthority) -> types::JwtKey {
    types::JwtKey {
        public_key: key.public_key.to_vec().into(),
        key_id: key.key_id.clone(),
        expires_at: key.expires_at,
        tainted: key.tainted,
    }
}

/// A bundle cut to the mask; the trust domain always stays (SA-018).
pub fn bundle_to_wire(bundle: &Bundle, mask: &BundleMask) -> types::Bundle {
    let mut wire =
        types::Bundle { trust_domain: bundle.trust_domain.as_str().to_owned(), ..Default::default() };
    if mask.x509_authorities {
        wire.x509_authorities = bundle
            .x509_authorities
            .iter()
            .map(|a| types::X509Certificate { asn1: a.der.to_vec().into(), tainted: a.tainted })
            .collect();
    }
    if mask.jwt_authorities {
        wire.jwt_authorities = bundle.jwt_authorities.iter().map(jwt_authority_to_wire).collect();
    }
    if mask.wit_authorities {
        wire.wit_authorities = bundle
            .wit_authorities
            .iter()
            .map(|k| types::WitKey {
                public_key: k.public_key.to_vec().into(),
                key_id: k.key_id.clone(),
                expires_at: k.expires_at,
                tainted: k.tainted,
            })
            .collect();
    }
    if mask.refresh_hint {
        wire.refresh_hint = bundle.refresh_hint;
    }
    if mask.sequence_number {
        wire.sequence_number = bundle.sequence_number;
    }
    wire
}
