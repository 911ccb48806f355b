use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use const_oid::db::rfc5280;
use der::asn1::{BitStringRef, OctetStringRef};
use der::{Decode, Encode};
use time::OffsetDateTime;
use x509_cert::Certificate as Parsed;
use x509_cert::time::Time;

use super::name::DistinguishedName;
use crate::elements::{Asn1Error, Elements, SEQUENCE, context};
use crate::key::{KeyError, PublicKey, SignatureScheme};

/// Why a certificate or request could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum X509Error {
    /// What exactly is wrong is for those who debug; SPIRE does not say it.
    #[error("x509: malformed certificate")]
    Malformed(String),
    #[error(transparent)]
    Asn1(#[from] Asn1Error),
    /// Go would not read it, and this is what it says.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    #[error("cannot encode a certificate: {0}")]
    Encode(String),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Sign(#[from] crate::SignError),
    /// The algorithm is for those who debug.
    #[error("x509: cannot verify signature: algorithm unimplemented")]
    UnsupportedSignature(String),
    #[error("{0}")]
    BadSignature(&'static str),
}

impl X509Error {
    pub(crate) fn refused(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(text.into())
    }
}

impl From<der::Error> for X509Error {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The bits of the key usage extension (RFC 5280 section 4.2.1.3), bit 0 first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    pub const CRL_SIGN: Self = Self(1 << 6);

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What the extended key usage extension allows, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtendedKeyUsage {
    pub server_auth: bool,
    pub client_auth: bool,
    /// Some other usage is named.
    pub other: bool,
}

/// A certificate: its DER, and what SPIRE asks of it.
#[derive(Clone)]
pub struct Certificate {
    der: Arc<[u8]>,
    facts: Arc<Facts>,
}

struct Facts {
    serial: Vec<u8>,
    serial_decimal: OnceLock<String>,
    not_before: i64,
    not_after: i64,
    subject: DistinguishedName,
    issuer: DistinguishedName,
    public_key: Arc<[u8]>,
    uri_sans: Vec<String>,
    dns_sans: Vec<String>,
    ip_sans: Vec<IpAddr>,
    basic_constraints: Option<bool>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate(serial {}, {})", self.serial_decimal(), self.facts.subject)
    }
}

impl Certificate {
    /// Reads exactly one certificate.
    pub fn parse(der: &[u8]) -> Result<Self, X509Error> {
        let parsed = Parsed::from_der(der).map_err(|error| unreadable(der, error))?;
        Ok(Self { der: der.into(), facts: Arc::new(facts(&parsed)?) })
    }

    /// Reads zero or more certificates in a row (SA-031).
    pub fn parse_many(der: &[u8]) -> Result<Vec<Self>, X509Error> {
        let mut elements = Elements::of(der);
        let mut certificates = Vec::new();
        while !elements.is_empty() {
            let next = elements.any().ok_or_else(|| X509Error::Malformed("truncated".to_owned()))?;
            certificates.push(Self::parse(next.whole)?);
        }
        Ok(certificates)
    }

    pub fn der(&self) -> &Arc<[u8]> {
        &self.der
    }

    /// The serial number in decimal, as SPIRE stores and prints it (SA-175).
    pub fn serial_decimal(&self) -> &str {
        self.facts.serial_decimal.get_or_init(|| decimal(&self.facts.serial))
    }

    /// The serial number in lower-case hex of even length.
    pub fn serial_hex(&self) -> String {
        let bytes = &self.facts.serial;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len().saturating_sub(1));
        hex::encode(&bytes[zeros..])
    }

    pub fn not_before(&self) -> OffsetDateTime {
        at(self.facts.not_before)
    }

    pub fn not_after(&self) -> OffsetDateTime {
        at(self.facts.not_after)
    }

    /// Seconds since 1970.
    pub fn not_after_unix(&self) -> i64 {
        self.facts.not_after
    }

    /// Seconds since 1970.
    pub fn not_before_unix(&self) -> i64 {
        self.facts.not_before
    }

    pub fn subject(&self) -> &DistinguishedName {
        &self.facts.subject
    }

    pub fn issuer(&self) -> &DistinguishedName {
        &self.facts.issuer
    }

    pub fn uri_sans(&self) -> &[String] {
        &self.facts.uri_sans
    }

    pub fn ip_sans(&self) -> &[IpAddr] {
        &self.facts.ip_sans
    }

    pub fn dns_sans(&self) -> &[String] {
        &self.facts.dns_sans
    }

    /// Whether the basic constraints extension is there.
    pub fn has_basic_constraints(&self) -> bool {
        self.facts.basic_constraints.is_some()
    }

    pub fn is_ca(&self) -> bool {
        self.facts.basic_constraints == Some(true)
    }

    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.facts.key_usage
    }

    pub fn extended_key_usage(&self) -> Option<ExtendedKeyUsage> {
        self.facts.extended_key_usage
    }

    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.facts.subject_key_id.as_deref()
    }

    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.facts.authority_key_id.as_deref()
    }

    /// The key id as lower-case hex; derived from the key when the extension is absent.
    pub fn subject_key_id_hex(&self) -> Result<String, X509Error> {
        match self.subject_key_id() {
            Some(id) => Ok(hex::encode(id)),
            None => Ok(self.public_key()?.subject_key_id_hex()),
        }
    }

    pub fn public_key(&self) -> Result<PublicKey, X509Error> {
        Ok(PublicKey::from_pkix(&self.facts.public_key)?)
    }
}

pub(super) fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A big-endian number in decimal.
pub(crate) fn decimal(bytes: &[u8]) -> String {
    let mut digits = vec![0u8];
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) * 256;
            *digit = (carry % 10) as u8;
            carry /= 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits.iter().rev().map(|d| char::from(b'0' + d)).collect()
}

fn unreadable(der: &[u8], error: der::Error) -> X509Error {
    let mut elements = Elements::of(der);
    match elements.element(SEQUENCE) {
        Some(_) if !elements.is_empty() => X509Error::refused("x509: trailing data"),
        _ => error.into(),
    }
}

fn facts(parsed: &Parsed) -> Result<Facts, X509Error> {
    let tbs = parsed.tbs_certificate();
    let mut facts = Facts {
        serial: tbs.serial_number().as_bytes().to_vec(),
        serial_decimal: OnceLock::new(),
        not_before: unix(&tbs.validity().not_before),
        not_after: unix(&tbs.validity().not_after),
        subject: DistinguishedName::from_der(&tbs.subject().to_der()?),
        issuer: DistinguishedName::from_der(&tbs.issuer().to_der()?),
        public_key: tbs.subject_public_key_info().to_der()?.into(),
        uri_sans: Vec::new(),
        dns_sans: Vec::new(),
        ip_sans: Vec::new(),
        basic_constraints: None,
        key_usage: None,
        extended_key_usage: None,
        subject_key_id: None,
        authority_key_id: None,
    };
    for extension in tbs.extensions().map_or(&[][..], Vec::as_slice) {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            rfc5280::ID_CE_SUBJECT_ALT_NAME => {
                let names = alternative_names(value)?;
                (facts.dns_sans, facts.uri_sans, facts.ip_sans) = (names.dns, names.uris, names.addresses);
            }
            rfc5280::ID_CE_BASIC_CONSTRAINTS => {
                facts.basic_constraints = Some(x509_cert::ext::pkix::BasicConstraints::from_der(value)?.ca);
            }
            rfc5280::ID_CE_KEY_USAGE => facts.key_usage = Some(key_usage(value)?),
            rfc5280::ID_CE_EXT_KEY_USAGE => facts.extended_key_usage = Some(extended_key_usage(value)?),
            rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER => {
                facts.subject_key_id = Some(<&OctetStringRef>::from_der(value)?.as_bytes().to_vec());
            }
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                let id = x509_cert::ext::pkix::AuthorityKeyIdentifier::from_der(value)?;
                facts.authority_key_id = id.key_identifier.map(|id| id.as_bytes().to_vec());
            }
            _ => {}
        }
    }
    Ok(facts)
}

fn unix(time: &Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

/// Kinds of names (RFC 5280 section 4.2.1.6).
pub(super) const EMAIL: u8 = context(1);
pub(super) const DNS: u8 = context(2);
pub(super) const URI: u8 = context(6);
pub(super) const ADDRESS: u8 = context(7);

/// What a subject alternative name holds of the kinds that we read; others are passed over.
#[derive(Debug, Default)]
pub(crate) struct AlternativeNames {
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

/// What stands behind the list is passed over, as Go does.
pub(crate) fn alternative_names(der: &[u8]) -> Result<AlternativeNames, X509Error> {
    let refused = |text: &'static str| X509Error::refused(text);
    let ascii = |content, text| {
        let name = std::str::from_utf8(content).ok().filter(|name| name.is_ascii());
        name.map(str::to_owned).ok_or_else(|| refused(text))
    };
    let mut names = AlternativeNames::default();
    let list = Elements::of(der).inside(SEQUENCE);
    let mut list = list.ok_or_else(|| refused("x509: invalid subject alternative names"))?;
    while !list.is_empty() {
        let name = list.any().ok_or_else(|| refused("x509: invalid subject alternative name"))?;
        match name.tag {
            EMAIL => drop(ascii(name.content, "x509: SAN rfc822Name is malformed")?),
            DNS => names.dns.push(ascii(name.content, "x509: SAN dNSName is malformed")?),
            URI => names.uris.push(ascii(name.content, "x509: SAN uniformResourceIdentifier is malformed")?),
            ADDRESS => names.addresses.push(address(name.content)?),
            _ => {}
        }
    }
    Ok(names)
}

fn address(octets: &[u8]) -> Result<IpAddr, X509Error> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| sixteen())
        .map_err(|_| X509Error::refused(format!("x509: cannot parse IP address of length {}", octets.len())))
}

fn key_usage(der: &[u8]) -> Result<KeyUsage, X509Error> {
    let bits = BitStringRef::from_der(der)?;
    let mut usage = 0;
    for (index, bit) in bits.bits().enumerate().take(16) {
        usage |= u16::from(bit) << index;
    }
    Ok(KeyUsage(usage))
}

fn extended_key_usage(der: &[u8]) -> Result<ExtendedKeyUsage, X509Error> {
    let list = x509_cert::ext::pkix::ExtendedKeyUsage::from_der(der)?;
    let mut usage = ExtendedKeyUsage::default();
    for oid in &list.0 {
        match *oid {
            rfc5280::ID_KP_SERVER_AUTH => usage.server_auth = true,
            rfc5280::ID_KP_CLIENT_AUTH => usage.client_auth = true,
            _ => usage.other = true,
        }
    }
    Ok(usage)
}

/// The scheme and signature of a signed DER structure whose algorithm is `oid`.
pub(crate) fn scheme(oid: const_oid::ObjectIdentifier) -> Result<SignatureScheme, X509Error> {
    SignatureScheme::from_oid(oid).ok_or_else(|| X509Error::UnsupportedSignature(oid.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_printed_in_decimal() {
        assert_eq!(decimal(&[]), "0");
        assert_eq!(decimal(&[1, 0]), "256");
        assert_eq!(decimal(&[0xff; 16]), "340282366920938463463374607431768211455");
    }

    #[test]
    fn junk_is_refused_in_the_words_of_go() {
        for junk in [&b"junk"[..], b"\x30", b"\x30\x03\x30\x00", b"\x30\x00"] {
            let text = "x509: malformed certificate";
            assert_eq!(Certificate::parse(junk).unwrap_err().to_string(), text);
            assert_eq!(Certificate::parse_many(junk).unwrap_err().to_string(), text);
        }
        let trailing = Certificate::parse(b"\x30\x00\x00\x00").unwrap_err();
        assert_eq!(trailing.to_string(), "x509: trailing data");
    }

    #[test]
    fn alternative_names_are_judged_as_go_does() {
        for (names, text) in [
            (&b"\x04\x00"[..], "x509: invalid subject alternative names"),
            (b"\x30\x02\x82\x05", "x509: invalid subject alternative name"),
            (b"\x30\x03\x81\x01\xe4", "x509: SAN rfc822Name is malformed"),
            (b"\x30\x03\x82\x01\xe4", "x509: SAN dNSName is malformed"),
            (b"\x30\x03\x86\x01\xe4", "x509: SAN uniformResourceIdentifier is malformed"),
            (b"\x30\x05\x87\x03\x01\x02\x03", "x509: cannot parse IP address of length 3"),
        ] {
            assert_eq!(alternative_names(names).unwrap_err().to_string(), text);
        }
        let names = alternative_names(b"\x30\x03\x82\x01a\xff").unwrap();
        assert_eq!(names.dns, ["a"]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = Certificate::parse(&bytes);
            let _ = Certificate::parse_many(&bytes);
        }
    }
}
