use const_oid::db::{rfc5280, rfc5912};
use der::asn1::ContextSpecific;
use der::{Decode, Encode, SliceReader, Tag, TagNumber};

use super::certificate::{X509Error, alternative_names, scheme};
use super::name::DistinguishedName;
use super::template::{san_extension, tlv};
use super::uri;
use crate::elements::{
    Asn1Error, BIT_STRING, BOOLEAN, Element, Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE,
    SET, bit_string, constructed,
};
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

/// The parts of a request (RFC 2986 section 4.2).
struct Parts<'a> {
    info: Element<'a>,
    algorithm: Element<'a>,
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(der: &'a [u8]) -> Result<Self, X509Error> {
        let mut outer = Elements::of(der);
        let mut request = outer.expect(SEQUENCE, "certificateRequest")?.inside();
        let info = request.expect(SEQUENCE, "tbsCertificateRequest")?;
        let algorithm = request.expect(SEQUENCE, "AlgorithmIdentifier")?;
        algorithm.inside().expect(OBJECT_IDENTIFIER, "ObjectIdentifier")?;
        let (signature, unused) = bit_string(request.expect(BIT_STRING, "BitString")?.content)
            .ok_or(Asn1Error::new("syntax error: invalid padding bits in BIT STRING"))?;
        if !outer.is_empty() {
            return Err(Asn1Error::new("syntax error: trailing data").into());
        }
        if unused != 0 {
            return Err(X509Error::refused("x509: signature is not a whole number of bytes"));
        }
        Ok(Self { info, algorithm, signature })
    }
}

/// What requests may be signed with; certificates may not all of it.
fn stated_scheme(algorithm: &spki::AlgorithmIdentifierRef<'_>) -> Result<SignatureScheme, X509Error> {
    match algorithm.oid {
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION => Ok(SignatureScheme::RsaPkcs1Sha1),
        rfc5912::ID_RSASSA_PSS => pss_scheme(algorithm),
        oid => scheme(oid),
    }
}

fn unsupported(algorithm: impl std::fmt::Display) -> X509Error {
    X509Error::UnsupportedSignature(algorithm.to_string())
}

/// The digest stands in the parameters (RFC 4055, section 3.1).
fn pss_scheme(algorithm: &spki::AlgorithmIdentifierRef<'_>) -> Result<SignatureScheme, X509Error> {
    let parameters = algorithm.parameters.ok_or_else(|| unsupported(algorithm.oid))?;
    let mut reader = SliceReader::new(parameters.value()).map_err(unsupported)?;
    let digest = ContextSpecific::<spki::AlgorithmIdentifierRef<'_>>::decode(&mut reader);
    match digest.map_err(unsupported)? {
        ContextSpecific { tag_number: TagNumber(0), value, .. } => match value.oid {
            rfc5912::ID_SHA_256 => Ok(SignatureScheme::RsaPssSha256),
            rfc5912::ID_SHA_384 => Ok(SignatureScheme::RsaPssSha384),
            rfc5912::ID_SHA_512 => Ok(SignatureScheme::RsaPssSha512),
            other => Err(unsupported(other)),
        },
        _ => Err(unsupported(algorithm.oid)),
    }
}

impl CertificateRequest {
    /// Reads a request; its signature is checked by [`verify_signature`](Self::verify_signature).
    pub fn parse(der: &[u8]) -> Result<Self, X509Error> {
        let mut info = Parts::of(der)?.info.inside();
        info.expect(INTEGER, "int")?;
        let subject = info.expect_any()?;
        let public_key = info.expect(SEQUENCE, "publicKeyInfo")?;
        let attributes = info.expect(constructed(0), "")?;
        let public_key = PublicKey::from_pkix(public_key.whole)?;
        let subject = DistinguishedName::of_request(subject.whole)?;
        let (mut uri_sans, mut dns_sans) = (Vec::new(), Vec::new());
        if let Some(extension) = requested_names(attributes.inside())? {
            let names = alternative_names(extension)?;
            for name in &names.uris {
                uri_sans.push(uri::read(name)?);
            }
            dns_sans = names.dns;
        }
        Ok(Self { der: der.to_vec(), public_key, subject, uri_sans, dns_sans })
    }

    /// Whether the request was signed with the key that it holds.
    pub fn verify_signature(&self) -> Result<(), X509Error> {
        let parts = Parts::of(&self.der)?;
        let algorithm = spki::AlgorithmIdentifierRef::from_der(parts.algorithm.whole).map_err(unsupported)?;
        let scheme = stated_scheme(&algorithm)?;
        match self.public_key.verify(scheme, parts.info.whole, parts.signature) {
            Err(KeyError::BadSignature) => {
                Err(X509Error::BadSignature(go_words(self.public_key.algorithm())))
            }
            Err(KeyError::SchemeMismatch) => Err(misfit(&algorithm, self.public_key.algorithm())),
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

/// What Go says of a signature that this kind of key does not make.
fn misfit(stated: &spki::AlgorithmIdentifierRef<'_>, key: KeyAlgorithm) -> X509Error {
    let key = match key {
        KeyAlgorithm::Rsa { .. } => "*rsa.PublicKey",
        KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384 | KeyAlgorithm::EcP521 => "*ecdsa.PublicKey",
        KeyAlgorithm::Ed25519 => "ed25519.PublicKey",
        KeyAlgorithm::Other => return unsupported(stated.oid),
    };
    let stated = match SignatureScheme::from_oid(stated.oid) {
        Some(SignatureScheme::EcdsaSha256 | SignatureScheme::EcdsaSha384 | SignatureScheme::EcdsaSha512) => {
            "ECDSA"
        }
        Some(SignatureScheme::Ed25519) => "Ed25519",
        _ => "RSA",
    };
    X509Error::refused(format!(
        "x509: signature algorithm specifies an {stated} public key, but have public key of type {key}"
    ))
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
///
/// Attributes that are not what they should be are passed over, as Go does. What is requested twice is refused:
/// whoever checks the request must not see another name than whoever signs it.
fn requested_names(mut attributes: Elements<'_>) -> Result<Option<&[u8]>, X509Error> {
    let (mut seen, mut names) = (Vec::new(), None);
    while !attributes.is_empty() {
        let attribute = attributes.member(None)?;
        let Some(value) = extension_request(&attribute) else { continue };
        let mut extensions = Elements::of(value).expect(SEQUENCE, "")?.inside();
        while !extensions.is_empty() {
            let mut extension = extensions.member(Some(SEQUENCE))?.inside();
            let oid = extension.expect(OBJECT_IDENTIFIER, "ObjectIdentifier")?.content;
            if extension.next_is(BOOLEAN) {
                extension.boolean().ok_or(Asn1Error::new("syntax error: invalid boolean"))?;
            }
            let value = extension.expect(OCTET_STRING, "")?.content;
            if seen.contains(&oid) {
                let text = "x509: certificate request contains duplicate requested extensions";
                return Err(X509Error::refused(text));
            }
            seen.push(oid);
            if oid == rfc5280::ID_CE_SUBJECT_ALT_NAME.as_bytes() {
                names = Some(value);
            }
        }
    }
    Ok(names)
}

/// The first value of an attribute that requests extensions.
fn extension_request<'a>(attribute: &Element<'a>) -> Option<&'a [u8]> {
    let mut parts = Some(attribute).filter(|attribute| attribute.tag == SEQUENCE)?.inside();
    let oid = parts.object_identifier()?;
    let mut values = parts.inside(SET)?;
    let first = values.any()?;
    while values.any().is_some() {}
    (values.is_empty() && oid == rfc5912::ID_EXTENSION_REQ.as_bytes()).then_some(first.whole)
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

    fn sequence(content: &[&[u8]]) -> Vec<u8> {
        tlv(Tag::Sequence, &content.concat()).unwrap()
    }

    fn set(content: &[u8]) -> Vec<u8> {
        tlv(Tag::Set, content).unwrap()
    }

    /// A request with these attributes; without the whole field if there are none.
    fn request(attributes: Option<&[u8]>) -> Result<CertificateRequest, X509Error> {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let number = TagNumber(0);
        let attributes =
            attributes.map(|a| tlv(Tag::ContextSpecific { constructed: true, number }, a).unwrap());
        let info = sequence(&[&[2, 1, 0, 0x30, 0], key.public_key().pkix(), &attributes.unwrap_or_default()]);
        let scheme = SignatureScheme::EcdsaSha256;
        let signature = key.sign(scheme, &info).unwrap();
        let request =
            CertificateRequest::parse(&super::super::template::signed(&info, scheme, &signature).unwrap())?;
        request.verify_signature().unwrap();
        Ok(request)
    }

    fn names(uri: &str) -> Vec<u8> {
        san_extension(&[], &[uri.to_owned()], false).unwrap()
    }

    fn extension_request(value: &[u8]) -> Vec<u8> {
        sequence(&[&rfc5912::ID_EXTENSION_REQ.to_der().unwrap(), value])
    }

    #[test]
    fn what_is_requested_twice_is_refused() {
        // CA-227: one name must not be checked and another one signed.
        let (one, other) = (names("spiffe://td/one"), names("spiffe://td/other"));
        let text = "x509: certificate request contains duplicate requested extensions";
        let both = extension_request(&set(&sequence(&[&one, &other])));
        assert_eq!(request(Some(&both)).unwrap_err().to_string(), text);
        let twice = [&one, &other].map(|names| extension_request(&set(&sequence(&[names])))).concat();
        assert_eq!(request(Some(&twice)).unwrap_err().to_string(), text);
        // A second value of one attribute is nobody's.
        let values = set(&[sequence(&[&one]), sequence(&[&other])].concat());
        let request = request(Some(&extension_request(&values))).unwrap();
        assert_eq!(request.uri_sans(), ["spiffe://td/one"]);
    }

    #[test]
    fn attributes_are_read_as_go_does() {
        // CA-227
        assert_eq!(request(None).unwrap_err().to_string(), "asn1: syntax error: sequence truncated");
        let one = sequence(&[&names("SPIFFE://td/one#")]);
        let odd = [vec![5, 0], extension_request(&one), extension_request(&set(&[]))].concat();
        assert!(request(Some(&odd)).unwrap().uri_sans().is_empty(), "passed over");
        let behind = [odd, extension_request(&set(&one))].concat();
        assert_eq!(request(Some(&behind)).unwrap().uri_sans(), ["spiffe://td/one"]);
        let unreadable = extension_request(&set(&sequence(&[&names("spiffe://td/%zz")])));
        assert_eq!(
            request(Some(&unreadable)).unwrap_err().to_string(),
            "x509: cannot parse URI \"spiffe://td/%zz\": parse \"spiffe://td/%zz\": invalid URL escape \"%zz\""
        );
    }

    #[test]
    fn junk_is_described_as_go_does() {
        let text = |der: &[u8]| CertificateRequest::parse(der).unwrap_err().to_string();
        assert_eq!(text(b"\x30\x05"), "asn1: syntax error: data truncated");
        assert!(text(b"junk").starts_with("asn1: structure error: tags don't match (16 vs {class:1 tag:10"));
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let mut der =
            CertificateRequest::create(&DistinguishedName::from_der(&[0x30, 0]), &[], &[], &key).unwrap();
        der.push(0);
        assert_eq!(text(&der), "asn1: syntax error: trailing data");
    }

    #[test]
    fn a_signature_of_another_kind_of_key_is_named() {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let der =
            CertificateRequest::create(&DistinguishedName::from_der(&[0x30, 0]), &[], &[], &key).unwrap();
        let parts = Parts::of(&der).unwrap();
        let text = |algorithm: &[u8]| {
            let signature = tlv(Tag::BitString, &[&[0][..], parts.signature].concat()).unwrap();
            let der = sequence(&[parts.info.whole, algorithm, &signature]);
            CertificateRequest::parse(&der).unwrap().verify_signature().unwrap_err().to_string()
        };
        assert_eq!(
            text(&SignatureScheme::RsaPkcs1Sha256.algorithm_identifier().unwrap()),
            "x509: signature algorithm specifies an RSA public key, but have public key of type *ecdsa.PublicKey"
        );
        let unknown = "x509: cannot verify signature: algorithm unimplemented";
        assert_eq!(text(&[0x30, 4, 6, 2, 0x2a, 3]), unknown);
        assert_eq!(
            text(&SignatureScheme::EcdsaSha384.algorithm_identifier().unwrap()),
            "x509: ECDSA verification failure"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = CertificateRequest::parse(&bytes).map(|r| r.verify_signature());
        }
    }
}
