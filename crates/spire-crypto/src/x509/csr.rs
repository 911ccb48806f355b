use const_oid::db::{rfc5280, rfc5912};
use der::asn1::{AnyRef, BitStringRef, ContextSpecific};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag, TagNumber};

use super::certificate::{AlternativeNames, X509Error, alternative_names, scheme};
use super::name::DistinguishedName;
use super::template::{san_extension, tlv};
use crate::key::{KeyAlgorithm, KeyError, PrivateKey, PublicKey, SignatureScheme};
use crate::signer::{Signer, default_scheme};

/// A certificate signing request (RFC 2986).
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    der: Vec<u8>,
    public_key: PublicKey,
    subject: DistinguishedName,
    uri_sans: Vec<String>,
    dns_sans: Vec<String>,
}

#[derive(Sequence)]
struct Outer<'a> {
    info: AnyRef<'a>,
    algorithm: spki::AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
}

/// What requests may be signed with; certificates may not all of it.
fn stated_scheme(algorithm: &spki::AlgorithmIdentifierRef<'_>) -> Result<SignatureScheme, X509Error> {
    match algorithm.oid {
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION => Ok(SignatureScheme::RsaPkcs1Sha1),
        rfc5912::ID_RSASSA_PSS => pss_scheme(algorithm),
        oid => scheme(oid),
    }
}

/// The digest stands in the parameters (RFC 4055, section 3.1).
fn pss_scheme(algorithm: &spki::AlgorithmIdentifierRef<'_>) -> Result<SignatureScheme, X509Error> {
    let unsupported = || X509Error::UnsupportedSignature(algorithm.oid.to_string());
    let parameters = algorithm.parameters.ok_or_else(unsupported)?;
    let mut reader = SliceReader::new(parameters.value())?;
    let digest = ContextSpecific::<spki::AlgorithmIdentifierRef<'_>>::decode(&mut reader)?;
    if digest.tag_number != TagNumber(0) {
        return Err(unsupported());
    }
    match digest.value.oid {
        rfc5912::ID_SHA_256 => Ok(SignatureScheme::RsaPssSha256),
        rfc5912::ID_SHA_384 => Ok(SignatureScheme::RsaPssSha384),
        rfc5912::ID_SHA_512 => Ok(SignatureScheme::RsaPssSha512),
        _ => Err(unsupported()),
    }
}

impl CertificateRequest {
    /// Reads a request; its signature is checked by [`verify_signature`](Self::verify_signature).
    pub fn parse(der: &[u8]) -> Result<Self, X509Error> {
        let outer = Outer::from_der(der)?;
        let mut reader = SliceReader::new(outer.info.value())?;
        let _version = u8::decode(&mut reader)?;
        let subject = DistinguishedName::from_der(reader.tlv_bytes()?);
        let public_key = PublicKey::from_pkix(reader.tlv_bytes()?)?;
        let (mut dns_sans, mut uri_sans) = (Vec::new(), Vec::new());
        if !reader.is_finished() {
            let attributes = AnyRef::decode(&mut reader)?;
            if let Some(names) = requested_names(attributes.value())? {
                (dns_sans, uri_sans) = (names.dns, names.uris);
            }
        }
        Ok(Self { der: der.to_vec(), public_key, subject, uri_sans, dns_sans })
    }

    /// Whether the request was signed with the key that it holds.
    pub fn verify_signature(&self) -> Result<(), X509Error> {
        let outer = Outer::from_der(&self.der)?;
        let mut reader = SliceReader::new(&self.der)?;
        let whole = AnyRef::decode(&mut reader)?;
        let info = SliceReader::new(whole.value())?.tlv_bytes()?;
        let signature = outer
            .signature
            .as_bytes()
            .ok_or_else(|| X509Error::Malformed("signature is not a whole number of bytes".to_owned()))?;
        match self.public_key.verify(stated_scheme(&outer.algorithm)?, info, signature) {
            Err(KeyError::BadSignature) => {
                Err(X509Error::BadSignature(go_words(self.public_key.algorithm())))
            }
            other => Ok(other?),
        }
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    pub fn uri_sans(&self) -> &[String] {
        &self.uri_sans
    }

    pub fn dns_sans(&self) -> &[String] {
        &self.dns_sans
    }

    /// Makes a request and signs it with the key it is for; returns DER.
    pub fn create(
        subject: &DistinguishedName,
        uri_sans: &[String],
        dns_sans: &[String],
        key: &PrivateKey,
    ) -> Result<Vec<u8>, X509Error> {
        let info = request_info(subject, uri_sans, dns_sans, key.public_key())?;
        let scheme = signing_scheme(key.public_key())?;
        let signature = key.sign(scheme, &info)?;
        super::template::signed(&info, scheme, &signature)
    }

    /// [`create`](Self::create) for a key that may live elsewhere.
    pub async fn create_for(
        subject: &DistinguishedName,
        uri_sans: &[String],
        dns_sans: &[String],
        key: &dyn Signer,
    ) -> Result<Vec<u8>, X509Error> {
        let info = request_info(subject, uri_sans, dns_sans, key.public_key())?;
        let scheme = signing_scheme(key.public_key())?;
        let signature = key.sign(scheme, &info).await?;
        super::template::signed(&info, scheme, &signature)
    }
}

/// What Go says of a signature that is not valid.
fn go_words(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::Rsa { .. } => "crypto/rsa: verification error",
        KeyAlgorithm::Ed25519 => "x509: Ed25519 verification failure",
        _ => "x509: ECDSA verification failure",
    }
}

fn signing_scheme(key: &PublicKey) -> Result<SignatureScheme, X509Error> {
    default_scheme(key).ok_or_else(|| X509Error::Encode("the key cannot sign requests".to_owned()))
}

/// What is signed of a request (RFC 2986 section 4.1).
fn request_info(
    subject: &DistinguishedName,
    uri_sans: &[String],
    dns_sans: &[String],
    key: &PublicKey,
) -> Result<Vec<u8>, X509Error> {
    let mut info = Vec::with_capacity(256);
    0u8.encode_to_vec(&mut info)?;
    info.extend_from_slice(subject.der());
    info.extend_from_slice(key.pkix());
    let mut attributes = Vec::new();
    if !uri_sans.is_empty() || !dns_sans.is_empty() {
        let extensions = tlv(Tag::Sequence, &san_extension(dns_sans, uri_sans, subject.is_empty())?)?;
        let mut attribute = rfc5912::ID_EXTENSION_REQ.to_der()?;
        attribute.extend(tlv(Tag::Set, &extensions)?);
        attributes = tlv(Tag::Sequence, &attribute)?;
    }
    let number = der::TagNumber(0);
    info.extend(tlv(Tag::ContextSpecific { constructed: true, number }, &attributes)?);
    tlv(Tag::Sequence, &info)
}

/// The subject alternative name of an extension request (RFC 2985 section 5.4.2).
fn requested_names(attributes: &[u8]) -> Result<Option<AlternativeNames>, X509Error> {
    let mut reader = SliceReader::new(attributes)?;
    while !reader.is_finished() {
        let attribute = x509_cert::attr::Attribute::decode(&mut reader)?;
        if attribute.oid != rfc5912::ID_EXTENSION_REQ {
            continue;
        }
        for value in attribute.values.iter() {
            let extensions = x509_cert::ext::Extensions::from_der(&value.to_der()?)?;
            for extension in extensions {
                if extension.extn_id == rfc5280::ID_CE_SUBJECT_ALT_NAME {
                    return Ok(Some(alternative_names(extension.extn_value.as_bytes())?));
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyType;
    use crate::x509::Subject;

    #[test]
    fn a_request_says_what_was_put_into_it() {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let subject = Subject { common_name: "x".into(), ..Subject::default() }.to_name().unwrap();
        let der =
            CertificateRequest::create(&subject, &["spiffe://td/w".into()], &["db".into()], &key).unwrap();
        let request = CertificateRequest::parse(&der).unwrap();
        request.verify_signature().unwrap();
        assert_eq!(request.uri_sans(), ["spiffe://td/w"]);
        assert_eq!(request.dns_sans(), ["db"]);
        assert_eq!(request.subject(), &subject);
        assert_eq!(request.public_key(), key.public_key());
    }

    #[test]
    fn a_changed_request_fails_its_signature() {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let subject = Subject { common_name: "good".into(), ..Subject::default() }.to_name().unwrap();
        let mut der = CertificateRequest::create(&subject, &[], &[], &key).unwrap();
        let at = der.windows(4).position(|w| w == b"good").unwrap();
        der[at] = b'f';
        assert!(CertificateRequest::parse(&der).unwrap().verify_signature().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = CertificateRequest::parse(&bytes).map(|r| r.verify_signature());
        }
    }
}
