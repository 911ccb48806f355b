//! Certificates as Go's crypto/x509 writes them, byte for byte (CA-201 to CA-211).

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, OctetStringRef, UintRef, UtcTime};
use der::{Encode, Tag, TagNumber};
use time::OffsetDateTime;

use super::certificate::{KeyUsage, X509Error};
use super::name::DistinguishedName;
use crate::key::{PublicKey, SignatureScheme};
use crate::signer::{Signer, default_scheme};

/// What a certificate is for (CA-213 to CA-220).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// keyCertSign and cRLSign; no extended usage; cA true without path length.
    Ca,
    /// digitalSignature, keyEncipherment, keyAgreement; server and client; cA false.
    Svid,
}

/// An extension beyond those that the usage brings.
#[derive(Debug, Clone)]
pub struct ExtraExtension {
    pub oid: String,
    pub critical: bool,
    pub value: Vec<u8>,
}

/// Everything of a certificate but its key, issuer and signature.
#[derive(Debug, Clone)]
pub struct CertificateTemplate {
    /// Big-endian.
    pub serial: [u8; 16],
    pub subject: DistinguishedName,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    pub uri_san: String,
    pub dns_sans: Vec<String>,
    pub usage: Usage,
    /// Written in this order after the built-in ones; one with the OID of a
    /// built-in extension takes its place (CA-206).
    pub extra_extensions: Vec<ExtraExtension>,
}

/// Who signs: precomputed once per authority.
#[derive(Debug, Clone)]
pub struct Issuer {
    pub name: DistinguishedName,
    /// Absent for a self-signed root (CA-204).
    pub key_id: Option<Vec<u8>>,
}

/// Signs a certificate for `key`; returns its DER.
pub async fn sign_certificate(
    template: &CertificateTemplate,
    key: &PublicKey,
    issuer: &Issuer,
    signer: &dyn Signer,
) -> Result<Vec<u8>, X509Error> {
    let scheme = default_scheme(signer.public_key())
        .ok_or_else(|| X509Error::Encode("the authority's key cannot sign certificates".to_owned()))?;
    let tbs = to_be_signed(template, key, issuer, scheme)?;
    let signature = signer.sign(scheme, &tbs).await?;
    signed(&tbs, scheme, &signature)
}

fn to_be_signed(
    template: &CertificateTemplate,
    key: &PublicKey,
    issuer: &Issuer,
    scheme: SignatureScheme,
) -> Result<Vec<u8>, X509Error> {
    let mut out = Vec::with_capacity(768);
    out.extend(context(0, &2u8.to_der()?)?);
    UintRef::new(&template.serial)?.encode_to_vec(&mut out)?;
    out.extend(scheme.algorithm_identifier()?);
    out.extend_from_slice(issuer.name.der());
    let mut validity = encode_time(template.not_before)?;
    validity.extend(encode_time(template.not_after)?);
    out.extend(tlv(Tag::Sequence, &validity)?);
    out.extend_from_slice(template.subject.der());
    out.extend_from_slice(key.pkix());
    let extensions = tlv(Tag::Sequence, &extensions(template, key, issuer)?)?;
    out.extend(context(3, &extensions)?);
    tlv(Tag::Sequence, &out)
}

/// Body, algorithm and signature in one sequence.
pub(super) fn signed(body: &[u8], scheme: SignatureScheme, signature: &[u8]) -> Result<Vec<u8>, X509Error> {
    let mut out = Vec::with_capacity(body.len() + signature.len() + 32);
    out.extend_from_slice(body);
    out.extend(scheme.algorithm_identifier()?);
    BitStringRef::from_bytes(signature)?.encode_to_vec(&mut out)?;
    tlv(Tag::Sequence, &out)
}

fn extensions(
    template: &CertificateTemplate,
    key: &PublicKey,
    issuer: &Issuer,
) -> Result<Vec<u8>, X509Error> {
    let mut out = Vec::with_capacity(320);
    let replaced = |oid: ObjectIdentifier| template.extra_extensions.iter().any(|e| e.oid == oid.to_string());
    let mut add = |oid: ObjectIdentifier, critical: bool, value: &[u8]| -> Result<(), X509Error> {
        if !replaced(oid) {
            out.extend(extension(oid, critical, value)?);
        }
        Ok(())
    };
    match template.usage {
        Usage::Ca => {
            add(rfc5280::ID_CE_KEY_USAGE, true, &key_usage(KeyUsage::KEY_CERT_SIGN.or(KeyUsage::CRL_SIGN))?)?;
            let ca = tlv(Tag::Sequence, &true.to_der()?)?;
            add(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &ca)?;
        }
        Usage::Svid => {
            let usage =
                KeyUsage::DIGITAL_SIGNATURE.or(KeyUsage::KEY_ENCIPHERMENT).or(KeyUsage::KEY_AGREEMENT);
            add(rfc5280::ID_CE_KEY_USAGE, true, &key_usage(usage)?)?;
            let mut purposes = rfc5280::ID_KP_SERVER_AUTH.to_der()?;
            purposes.extend(rfc5280::ID_KP_CLIENT_AUTH.to_der()?);
            add(rfc5280::ID_CE_EXT_KEY_USAGE, false, &tlv(Tag::Sequence, &purposes)?)?;
            add(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &tlv(Tag::Sequence, &[])?)?;
        }
    }
    let key_id = key.subject_key_id();
    add(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, &tlv(Tag::OctetString, &key_id)?)?;
    if let Some(issuer_id) = &issuer.key_id {
        let id = tlv(Tag::ContextSpecific { constructed: false, number: TagNumber(0) }, issuer_id)?;
        add(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &tlv(Tag::Sequence, &id)?)?;
    }
    if !replaced(rfc5280::ID_CE_SUBJECT_ALT_NAME) {
        let uris = std::slice::from_ref(&template.uri_san);
        out.extend(san_extension(&template.dns_sans, uris, template.subject.is_empty())?);
    }
    for extra in &template.extra_extensions {
        let oid = ObjectIdentifier::new(&extra.oid)
            .map_err(|_| X509Error::Encode(format!("{:?} is not an OID", extra.oid)))?;
        out.extend(extension(oid, extra.critical, &extra.value)?);
    }
    Ok(out)
}

/// DNS names first, then URIs; critical only without a subject (CA-206, CA-208).
pub(super) fn san_extension(dns: &[String], uris: &[String], critical: bool) -> Result<Vec<u8>, X509Error> {
    let mut names = Vec::with_capacity(64);
    for (number, list) in [(2, dns), (6, uris)] {
        for name in list {
            if !name.is_ascii() {
                return Err(X509Error::refused(format!("x509: {name:?} cannot be encoded as an IA5String")));
            }
            let tag = Tag::ContextSpecific { constructed: false, number: TagNumber(number) };
            names.extend(tlv(tag, name.as_bytes())?);
        }
    }
    extension(rfc5280::ID_CE_SUBJECT_ALT_NAME, critical, &tlv(Tag::Sequence, &names)?)
}

fn extension(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Result<Vec<u8>, X509Error> {
    let mut body = oid.to_der()?;
    if critical {
        body.extend(true.to_der()?);
    }
    OctetStringRef::new(value)?.encode_to_vec(&mut body)?;
    tlv(Tag::Sequence, &body)
}

/// A named bit list without trailing zero bits (X.690 section 11.2.2).
fn key_usage(usage: KeyUsage) -> Result<Vec<u8>, X509Error> {
    let byte = (usage.0 as u8).reverse_bits();
    Ok(BitStringRef::new(byte.trailing_zeros() as u8, &[byte])?.to_der()?)
}

/// UTCTime through 2049, GeneralizedTime after (CA-202).
fn encode_time(time: OffsetDateTime) -> Result<Vec<u8>, X509Error> {
    let seconds = u64::try_from(time.unix_timestamp())
        .map_err(|_| X509Error::Encode("a time before 1970 cannot be encoded".to_owned()))?;
    let since_epoch = std::time::Duration::from_secs(seconds);
    if time.year() < 2050 {
        return Ok(UtcTime::from_unix_duration(since_epoch)?.to_der()?);
    }
    Ok(GeneralizedTime::from_unix_duration(since_epoch)?.to_der()?)
}

fn context(number: u32, content: &[u8]) -> Result<Vec<u8>, X509Error> {
    tlv(Tag::ContextSpecific { constructed: true, number: TagNumber(number) }, content)
}

pub(super) fn tlv(tag: Tag, content: &[u8]) -> Result<Vec<u8>, X509Error> {
    Ok(AnyRef::new(tag, content)?.to_der()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyType, PrivateKey};
    use crate::x509::{Certificate, Subject};

    fn sign(
        template: &CertificateTemplate,
        key: &PrivateKey,
        issuer: &Issuer,
        signer: &PrivateKey,
    ) -> Certificate {
        let der = futures_executor(sign_certificate(template, key.public_key(), issuer, signer)).unwrap();
        Certificate::parse(&der).unwrap()
    }

    fn futures_executor<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("a local key does not wait"),
        }
    }

    fn template(usage: Usage) -> CertificateTemplate {
        CertificateTemplate {
            serial: [0xff; 16],
            subject: Subject { country: vec!["US".into()], ..Subject::default() }.to_name().unwrap(),
            not_before: OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap(),
            not_after: OffsetDateTime::from_unix_timestamp(2_600_000_000).unwrap(),
            uri_san: "spiffe://td/w".into(),
            dns_sans: vec!["db".into()],
            usage,
            extra_extensions: Vec::new(),
        }
    }

    #[test]
    fn a_leaf_reads_back_as_it_was_asked_for() {
        // CA-201 to CA-208, CA-219
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let issuer = Issuer { name: template(Usage::Ca).subject, key_id: Some(vec![1; 20]) };
        let leaf = sign(&template(Usage::Svid), &key, &issuer, &key);
        assert_eq!(leaf.serial_decimal(), "340282366920938463463374607431768211455");
        assert_eq!(leaf.uri_sans(), ["spiffe://td/w"]);
        assert_eq!(leaf.dns_sans(), ["db"]);
        assert!(leaf.has_basic_constraints() && !leaf.is_ca());
        assert_eq!(leaf.key_usage(), Some(KeyUsage(0b10101)));
        let extended = leaf.extended_key_usage().unwrap();
        assert!(extended.server_auth && extended.client_auth && !extended.other);
        assert_eq!(leaf.authority_key_id(), Some(&[1; 20][..]));
        assert_eq!(leaf.subject_key_id(), Some(&key.public_key().subject_key_id()[..]));
        assert_eq!((leaf.not_before_unix(), leaf.not_after_unix()), (1_700_000_000, 2_600_000_000));
    }

    #[test]
    fn a_name_that_is_not_ascii_is_refused_in_the_words_of_go() {
        // Seen by users of `x509 mint -dns`.
        let error = san_extension(&["\u{e9}".to_owned()], &[], false).unwrap_err();
        assert_eq!(error.to_string(), "x509: \"\u{e9}\" cannot be encoded as an IA5String");
    }

    #[test]
    fn a_root_has_no_authority_key_id() {
        // CA-204, CA-213
        let key = PrivateKey::generate(KeyType::EcP384).unwrap();
        let issuer = Issuer { name: template(Usage::Ca).subject, key_id: None };
        let root = sign(&template(Usage::Ca), &key, &issuer, &key);
        assert!(root.is_ca() && root.authority_key_id().is_none() && root.extended_key_usage().is_none());
        assert_eq!(root.key_usage(), Some(KeyUsage(0b110_0000)));
    }

    #[test]
    fn a_root_that_nobody_can_use_does_not_take_the_others_with_it() {
        // CA-523, SA-208
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let issuer = Issuer { name: template(Usage::Ca).subject, key_id: None };
        let good = sign(&template(Usage::Ca), &key, &issuer, &key);
        let odd = CertificateTemplate {
            extra_extensions: vec![ExtraExtension {
                oid: "1.2.3.4".into(),
                critical: true,
                value: vec![5, 0],
            }],
            ..template(Usage::Ca)
        };
        let odd = sign(&odd, &PrivateKey::generate(KeyType::EcP256).unwrap(), &issuer, &key);
        let mut bundle = spire_types::Bundle::empty("td".parse().unwrap());
        for der in [odd.der(), good.der()] {
            bundle.x509_authorities.push(spire_types::X509Authority { der: (**der).into(), tainted: false });
        }
        let roots = crate::x509::Roots::of_bundle(&bundle).unwrap();
        assert_eq!(roots.certificates().count(), 2);
        let leaf = sign(&template(Usage::Svid), &key, &issuer, &key);
        let at = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let path = crate::x509::verify_chain(&[leaf], &roots, at).unwrap();
        assert_eq!(path.last(), Some(&good));
    }

    /// Names and criticality of the extensions, in order.
    fn extensions_of(certificate: &Certificate) -> Vec<(ObjectIdentifier, bool)> {
        let parsed: x509_cert::Certificate = der::Decode::from_der(certificate.der()).unwrap();
        let extensions = parsed.tbs_certificate().extensions().unwrap();
        extensions.iter().map(|extension| (extension.extn_id, extension.critical)).collect()
    }

    #[test]
    fn extensions_stand_in_gos_order_and_are_critical_where_the_standard_wants_it() {
        // CA-206, CA-207, CA-381, CA-382, CA-387 to CA-389
        use rfc5280::{
            ID_CE_AUTHORITY_KEY_IDENTIFIER as ISSUER_KEY, ID_CE_BASIC_CONSTRAINTS as BASIC,
            ID_CE_EXT_KEY_USAGE as EXTENDED, ID_CE_KEY_USAGE as USAGE, ID_CE_SUBJECT_ALT_NAME as SAN,
            ID_CE_SUBJECT_KEY_IDENTIFIER as KEY,
        };
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let issuer = Issuer { name: template(Usage::Ca).subject, key_id: Some(vec![1; 20]) };
        let root = Issuer { key_id: None, ..issuer.clone() };
        let found = |template, issuer| extensions_of(&sign(&template, &key, issuer, &key));
        assert_eq!(
            found(template(Usage::Ca), &root),
            [(USAGE, true), (BASIC, true), (KEY, false), (SAN, false)]
        );
        let leaf = |san| {
            [(USAGE, true), (EXTENDED, false), (BASIC, true), (KEY, false), (ISSUER_KEY, false), (SAN, san)]
        };
        assert_eq!(found(template(Usage::Svid), &issuer), leaf(false));
        let nameless =
            CertificateTemplate { subject: Subject::default().to_name().unwrap(), ..template(Usage::Svid) };
        assert_eq!(found(nameless, &issuer), leaf(true));
    }
}
