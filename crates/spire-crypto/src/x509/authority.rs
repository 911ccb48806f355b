//! Whether Go reads a certificate (`crypto/x509` of Go 1.26).
//!
//! Agents of SPIRE's drop a whole bundle for one authority that Go does not read, so such a one must not get into a
//! bundle. Only asked where bundles come in: [`Certificate::parse`] is for those that are in use.

mod constraints;
mod extensions;

use const_oid::db::{rfc5912, rfc8410};
use der::Decode;
use der::asn1::{GeneralizedTime, UtcTime};

use self::extensions::Extension;
use super::certificate::{Certificate, X509Error};
use super::name::DistinguishedName;
use crate::elements::{
    BIT_STRING, BOOLEAN, Element, Elements, OCTET_STRING, SEQUENCE, bit_string, constructed, context,
};
use crate::key::{KeyAlgorithm, PublicKey};

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Checks zero or more certificates in a row (SA-031).
pub fn check_authorities(der: &[u8]) -> Result<(), X509Error> {
    let mut certificates = Elements::of(der);
    while !certificates.is_empty() {
        let certificate = certificates.element(SEQUENCE).ok_or_else(refused("malformed certificate"))?;
        check(certificate.inside())?;
        // What Go reads and we do not is of no use here either.
        Certificate::parse(certificate.whole)?;
    }
    Ok(())
}

/// What Go says of something.
fn refused(text: &'static str) -> impl Fn() -> X509Error {
    move || X509Error::refused(format!("x509: {text}"))
}

fn check(mut certificate: Elements<'_>) -> Result<(), X509Error> {
    let mut signed = certificate.inside(SEQUENCE).ok_or_else(refused("malformed tbs certificate"))?;
    let version = version(&mut signed).ok_or_else(refused("malformed version"))?;
    if version > 2 {
        return Err(refused("invalid version")());
    }
    let serial = signed.integer().ok_or_else(refused("malformed serial number"))?;
    if serial.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Err(refused("negative serial number")());
    }
    let inner = signed.content(SEQUENCE).ok_or_else(refused("malformed signature algorithm identifier"))?;
    let outer = certificate.content(SEQUENCE).ok_or_else(refused("malformed algorithm identifier"))?;
    if inner != outer {
        return Err(refused("inner and outer signature algorithm identifiers don't match")());
    }
    algorithm(Elements::of(inner))?;
    let issuer = signed.element(SEQUENCE).ok_or_else(refused("malformed issuer"))?;
    DistinguishedName::from_der(issuer.whole).check()?;
    let mut validity = signed.inside(SEQUENCE).ok_or_else(refused("malformed validity"))?;
    time(&mut validity)?;
    time(&mut validity)?;
    // Go says issuer here, too.
    let subject = signed.element(SEQUENCE).ok_or_else(refused("malformed issuer"))?;
    DistinguishedName::from_der(subject.whole).check()?;
    public_key(signed.element(SEQUENCE).ok_or_else(refused("malformed spki"))?)?;
    if version > 0 {
        signed.optional(context(1)).ok_or_else(refused("malformed issuerUniqueID"))?;
        signed.optional(context(2)).ok_or_else(refused("malformed subjectUniqueID"))?;
    }
    if version == 2 {
        check_extensions(signed)?;
    }
    let signature = certificate.content(BIT_STRING).and_then(bit_string);
    signature.ok_or_else(refused("malformed signature"))?;
    Ok(())
}

/// One less than the standard calls it.
fn version(signed: &mut Elements<'_>) -> Option<u8> {
    let Some(mut explicit) = signed.optional(constructed(0))? else { return Some(0) };
    let version = explicit.integer().filter(|_| explicit.is_empty())?;
    match version {
        [0x80..=0xff, ..] => None,
        [version] => Some(*version),
        _ => Some(u8::MAX),
    }
}

/// The OID of an algorithm identifier, and its parameters.
fn algorithm(mut id: Elements<'_>) -> Result<(&[u8], &[u8]), X509Error> {
    let oid = id.object_identifier().ok_or_else(refused("malformed OID"))?;
    if id.is_empty() {
        return Ok((oid, &[]));
    }
    Ok((oid, id.any().ok_or_else(refused("malformed parameters"))?.whole))
}

fn time(validity: &mut Elements<'_>) -> Result<(), X509Error> {
    match validity.any() {
        Some(Element { tag: UTC_TIME, whole, .. }) => {
            UtcTime::from_der(whole).map(drop).map_err(|_| refused("malformed UTCTime")())
        }
        Some(Element { tag: GENERALIZED_TIME, whole, .. }) => {
            GeneralizedTime::from_der(whole).map(drop).map_err(|_| refused("malformed GeneralizedTime")())
        }
        _ => Err(refused("unsupported time format")()),
    }
}

/// Keys of unknown kinds are taken.
fn public_key(info: Element<'_>) -> Result<(), X509Error> {
    let mut parts = info.inside();
    let id = parts.inside(SEQUENCE).ok_or_else(refused("malformed public key algorithm identifier"))?;
    let (oid, parameters) = algorithm(id)?;
    let bits = parts.content(BIT_STRING).and_then(bit_string);
    let (bits, _) = bits.ok_or_else(refused("malformed subjectPublicKey"))?;
    if oid == rfc5912::ID_DSA.as_bytes() {
        return dsa_key(parameters, bits);
    }
    let known = [rfc5912::RSA_ENCRYPTION, rfc5912::ID_EC_PUBLIC_KEY, rfc8410::ID_ED_25519];
    if known.iter().all(|known| known.as_bytes() != oid) {
        return Ok(());
    }
    let key = PublicKey::from_pkix(info.whole)?;
    match key.algorithm() {
        // P-224, whose points we cannot check.
        KeyAlgorithm::Other => Ok(()),
        _ => Ok(key.check()?),
    }
}

fn dsa_key(parameters: &[u8], bits: &[u8]) -> Result<(), X509Error> {
    let key = Elements::of(bits).integer().ok_or_else(refused("invalid DSA public key"))?;
    let mut group =
        Elements::of(parameters).inside(SEQUENCE).ok_or_else(refused("invalid DSA parameters"))?;
    let mut numbers = vec![key];
    for _ in ["p", "q", "g"] {
        numbers.push(group.integer().ok_or_else(refused("invalid DSA parameters"))?);
    }
    match numbers.iter().all(|number| !matches!(number, [0] | [0x80..=0xff, ..])) {
        true => Ok(()),
        false => Err(refused("zero or negative DSA parameter")()),
    }
}

fn check_extensions(mut signed: Elements<'_>) -> Result<(), X509Error> {
    let explicit = signed.optional(constructed(3)).ok_or_else(refused("malformed extensions"))?;
    let Some(mut explicit) = explicit else { return Ok(()) };
    let mut list = explicit.inside(SEQUENCE).ok_or_else(refused("malformed extensions"))?;
    let mut extensions: Vec<Extension<'_>> = Vec::new();
    while !list.is_empty() {
        let mut parts = list.inside(SEQUENCE).ok_or_else(refused("malformed extension"))?;
        let oid = parts.object_identifier().ok_or_else(refused("malformed extension OID field"))?;
        let critical = match parts.next_is(BOOLEAN) {
            true => parts.boolean().ok_or_else(refused("malformed extension critical field"))?,
            false => false,
        };
        let value = parts.content(OCTET_STRING).ok_or_else(refused("malformed extension value field"))?;
        if extensions.iter().any(|other| other.oid == oid) {
            let oid = const_oid::ObjectIdentifier::from_bytes(oid).map(|oid| oid.to_string());
            let oid = oid.unwrap_or_default();
            return Err(X509Error::refused(format!(
                "x509: certificate contains duplicate extension with OID {oid:?}"
            )));
        }
        extensions.push(Extension { oid, critical, value });
    }
    extensions.iter().try_for_each(Extension::check)
}

#[cfg(test)]
mod tests;
