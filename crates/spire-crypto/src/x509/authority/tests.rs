use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};
use der::Encode;

use super::*;
use crate::key::{KeyType, PrivateKey};

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = der::Length::try_from(content.len()).unwrap().to_der().unwrap();
    [&[tag][..], &length, content].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

/// A name of one common name, whose value has this tag.
fn name(tag: u8, value: &[u8]) -> Vec<u8> {
    let attribute = sequence(&[&[6, 3, 0x55, 4, 3], &tlv(tag, value)]);
    sequence(&[&tlv(0x31, &attribute)])
}

fn extension(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&oid.to_der().unwrap(), critical, &tlv(OCTET_STRING, value)])
}

/// A certificate in parts, of which a test spoils one. Nobody looks at the signature.
struct Draft {
    version: Vec<u8>,
    serial: Vec<u8>,
    inner: Vec<u8>,
    outer: Vec<u8>,
    issuer: Vec<u8>,
    validity: Vec<u8>,
    subject: Vec<u8>,
    key: Vec<u8>,
    extensions: Vec<Vec<u8>>,
    signature: Vec<u8>,
}

impl Draft {
    fn good() -> Self {
        let algorithm = sequence(&[&rfc5912::ECDSA_WITH_SHA_256.to_der().unwrap()]);
        Self {
            version: vec![0xa0, 3, 2, 1, 2],
            serial: vec![2, 1, 1],
            inner: algorithm.clone(),
            outer: algorithm,
            issuer: name(0x13, b"a"),
            validity: sequence(&[&tlv(0x17, b"260101000000Z"), &tlv(0x18, b"20600101000000Z")]),
            subject: name(0x0c, b"a"),
            key: PrivateKey::generate(KeyType::EcP256).unwrap().public_key().pkix().to_vec(),
            extensions: Vec::new(),
            signature: vec![3, 2, 0, 0],
        }
    }

    fn der(&self) -> Vec<u8> {
        let extensions = match self.extensions.is_empty() {
            true => Vec::new(),
            false => tlv(0xa3, &tlv(SEQUENCE, &self.extensions.concat())),
        };
        let parts = [&self.version, &self.serial, &self.inner, &self.issuer, &self.validity, &self.subject];
        let signed = [&parts.map(Vec::as_slice).concat()[..], &self.key, &extensions].concat();
        sequence(&[&tlv(SEQUENCE, &signed), &self.outer, &self.signature])
    }
}

fn said_of(spoil: impl FnOnce(&mut Draft)) -> String {
    let mut draft = Draft::good();
    spoil(&mut draft);
    check_authorities(&draft.der()).map_or_else(|error| error.to_string(), |()| "ok".to_owned())
}

fn said_of_extension(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> String {
    said_of(|draft| draft.extensions = vec![extension(oid, critical, value)])
}

#[test]
fn what_go_reads_is_taken() {
    // SA-031
    assert_eq!(said_of(|_| ()), "ok");
    let good = Draft::good().der();
    check_authorities(&[good.clone(), good].concat()).unwrap();
    check_authorities(&[]).unwrap();
    let unknown = sequence(&[&sequence(&[&[6, 3, 0x2a, 3, 4]]), &[3, 1, 0]]);
    assert_eq!(said_of(|draft| draft.key = unknown), "ok", "a key of an unknown kind");
    let own = "1.2.3.4".parse().unwrap();
    assert_eq!(said_of_extension(own, true, b"junk"), "ok", "an unknown extension");
    let constraints = sequence(&[&tlv(0xa0, &sequence(&[&tlv(0x82, b".example.org")]))]);
    assert_eq!(said_of_extension(rfc5280::ID_CE_NAME_CONSTRAINTS, true, &constraints), "ok");
}

#[test]
fn what_go_does_not_read_is_refused_in_its_words() {
    // SA-031: SPIRE's agents would drop the whole bundle.
    let junk = check_authorities(b"junk").unwrap_err();
    assert_eq!(junk.to_string(), "x509: malformed certificate");
    let mut trailing = Draft::good().der();
    trailing.push(0);
    assert_eq!(check_authorities(&trailing).unwrap_err().to_string(), "x509: malformed certificate");
    let value = "x509: invalid RDNSequence: invalid attribute value";
    for (said, text) in [
        (said_of(|d| d.version = vec![0xa0, 3, 2, 1, 3]), "x509: invalid version"),
        (said_of(|d| d.version = vec![0xa0, 3, 2, 1, 0xff]), "x509: malformed version"),
        (said_of(|d| d.serial = vec![2, 1, 0xff]), "x509: negative serial number"),
        (said_of(|d| d.serial = vec![2, 0]), "x509: malformed serial number"),
        (
            said_of(|d| d.outer = sequence(&[&[6, 1, 0x2a]])),
            "x509: inner and outer signature algorithm identifiers don't match",
        ),
        (said_of(|d| d.issuer = name(0x13, b"a@b")), format!("{value}: invalid PrintableString").as_str()),
        (said_of(|d| d.subject = name(0x0c, &[0xff])), format!("{value}: invalid UTF-8 string").as_str()),
        (said_of(|d| d.subject = name(0x02, &[1])), format!("{value}: unsupported string type: 2").as_str()),
        (said_of(|d| d.validity = sequence(&[&[4, 0]])), "x509: unsupported time format"),
        (said_of(|d| d.validity = sequence(&[&tlv(0x17, b"26")])), "x509: malformed UTCTime"),
        (said_of(|d| d.signature = vec![4, 0]), "x509: malformed signature"),
    ] {
        assert_eq!(said, text);
    }
}

#[test]
fn keys_are_checked_as_go_does() {
    // SA-031
    let key = |id: &[u8], bits: &[u8]| {
        let info = sequence(&[&tlv(SEQUENCE, id), &tlv(BIT_STRING, &[&[0][..], bits].concat())]);
        said_of(|draft| draft.key = info)
    };
    let off_curve = said_of(|draft| {
        if let Some(last) = draft.key.last_mut() {
            *last ^= 1;
        }
    });
    assert_eq!(off_curve, "P256 point not on curve");
    let ec = rfc5912::ID_EC_PUBLIC_KEY.to_der().unwrap();
    let secp256k1 = [&ec[..], &[6, 5, 0x2b, 0x81, 4, 0, 0x0a]].concat();
    assert_eq!(key(&secp256k1, &[4]), "x509: unsupported elliptic curve");
    let p224 = [&ec[..], &rfc5912::SECP_224_R_1.to_der().unwrap()].concat();
    assert_eq!(key(&p224, &[4; 57]), "ok");
    let rsa = rfc5912::RSA_ENCRYPTION.to_der().unwrap();
    assert_eq!(key(&rsa, &[]), "x509: RSA key missing NULL parameters");
    let dsa = rfc5912::ID_DSA.to_der().unwrap();
    assert_eq!(key(&dsa, &[2, 1, 1]), "x509: invalid DSA parameters");
    let group = [&dsa[..], &[0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 0]].concat();
    assert_eq!(key(&group, &[2, 1, 1]), "x509: zero or negative DSA parameter");
}

#[test]
fn extensions_are_judged_as_go_does() {
    // SA-031
    let key_id = extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, &[4, 1, 1]);
    assert_eq!(
        said_of(|draft| draft.extensions = vec![key_id.clone(), key_id]),
        "x509: certificate contains duplicate extension with OID \"2.5.29.14\""
    );
    let policy = sequence(&[&[6, 1, 0x2a]]);
    let constraint = |tag, value: &[u8]| sequence(&[&tlv(0xa1, &sequence(&[&tlv(tag, value)]))]);
    let uri = |uri: &[u8]| sequence(&[&tlv(0x86, uri)]);
    for (oid, critical, value, text) in [
        (
            rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER,
            true,
            vec![4, 1, 1],
            "subject key identifier incorrectly marked critical",
        ),
        (
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER,
            true,
            vec![0x30, 0],
            "authority key identifier incorrectly marked critical",
        ),
        (
            rfc5912::ID_PE_AUTHORITY_INFO_ACCESS,
            true,
            vec![0x30, 0],
            "authority info access incorrectly marked critical",
        ),
        (rfc5912::ID_PE_AUTHORITY_INFO_ACCESS, false, b"junk".to_vec(), "invalid authority info access"),
        (rfc5280::ID_CE_KEY_USAGE, true, vec![3, 0], "invalid key usage"),
        (rfc5280::ID_CE_BASIC_CONSTRAINTS, true, vec![0x30, 3, 1, 1, 7], "invalid basic constraints"),
        (rfc5280::ID_CE_EXT_KEY_USAGE, false, vec![0x30, 2, 5, 0], "invalid extended key usages"),
        (rfc5280::ID_CE_CERTIFICATE_POLICIES, false, b"junk".to_vec(), "invalid certificate policies"),
        (
            rfc5280::ID_CE_CERTIFICATE_POLICIES,
            false,
            sequence(&[&policy, &policy]),
            "invalid certificate policies",
        ),
        (rfc5280::ID_CE_POLICY_CONSTRAINTS, true, vec![5, 0], "invalid policy constraints extension"),
        (rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS, false, vec![5, 0], "invalid CRL distribution points"),
        (
            rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS,
            false,
            sequence(&[&[5, 0]]),
            "invalid CRL distribution point",
        ),
        (rfc5280::ID_CE_NAME_CONSTRAINTS, true, b"junk".to_vec(), "invalid NameConstraints extension"),
        (rfc5280::ID_CE_NAME_CONSTRAINTS, true, vec![0x30, 0], "empty name constraints extension"),
        (
            rfc5280::ID_CE_NAME_CONSTRAINTS,
            true,
            constraint(0x82, b"a..b"),
            "failed to parse dnsName constraint \"a..b\"",
        ),
        (
            rfc5280::ID_CE_NAME_CONSTRAINTS,
            true,
            constraint(0x86, b"10.0.0.1"),
            "failed to parse URI constraint \"10.0.0.1\": cannot be IP address",
        ),
        (
            rfc5280::ID_CE_NAME_CONSTRAINTS,
            true,
            constraint(0x87, &[10, 0, 0, 0, 255, 0, 1, 0]),
            "IP constraint contained invalid mask ff000100",
        ),
        (
            rfc5280::ID_CE_NAME_CONSTRAINTS,
            true,
            constraint(0x87, &[1]),
            "IP constraint contained value of length 1",
        ),
        (
            rfc5280::ID_CE_SUBJECT_ALT_NAME,
            false,
            uri(b"http://a..b/"),
            "cannot parse URI \"http://a..b/\": invalid domain",
        ),
        (
            rfc5280::ID_CE_SUBJECT_ALT_NAME,
            false,
            sequence(&[&tlv(0x81, &[0xe4])]),
            "SAN rfc822Name is malformed",
        ),
    ] {
        assert_eq!(said_of_extension(oid, critical, &value), format!("x509: {text}"));
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(bytes: Vec<u8>, at: usize) {
        let _ = check_authorities(&bytes);
        let mut der = Draft::good().der();
        let at = at % der.len();
        for (byte, new) in der[at..].iter_mut().zip(bytes) {
            *byte = new;
        }
        let _ = check_authorities(&der);
    }
}
