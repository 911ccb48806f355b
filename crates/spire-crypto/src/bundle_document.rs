//! The SPIFFE bundle document (SPIFFE Trust Domain and Bundle section 4).

mod read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use spire_types::{Bundle, JwtAuthority};

pub use read::{Reader, unmarshal};

use crate::jose::{JwkError, jwk_members};
use crate::key::PublicKey;
use crate::x509::{Certificate, X509Error};

/// Why a document was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON, or a member is of another type than it must be.
    #[error("{0}")]
    Read(String),
    /// It could not be written.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("no authorities found")]
    NoAuthorities,
    #[error("missing key ID in {use_} entry {index}")]
    NoKeyId { use_: &'static str, index: usize },
    #[error("expected a single certificate in x509-svid entry {index}; got {count}")]
    Certificates { index: usize, count: usize },
    /// A key that nobody should know, by what Go calls its type.
    #[error("x509: unsupported public key type: {0}")]
    NotPublic(&'static str),
    #[error(transparent)]
    X509(#[from] X509Error),
    #[error(transparent)]
    Jwk(#[from] JwkError),
}

/// What to write of a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Contents {
    pub x509_authorities: bool,
    pub jwt_authorities: bool,
    /// No `use`, no `spiffe_` members (CA-325).
    pub standard_jwks: bool,
    /// Overrides the stored hint; seconds.
    pub refresh_hint: Option<i64>,
    /// Spaces a level; 0 is compact.
    pub indent: usize,
    /// Without any key: `"keys": null` instead of `[]` (CA-334).
    pub null_when_empty: bool,
}

impl Contents {
    /// As the bundle endpoint and files show it (CA-321).
    pub const SPIFFE: Self = Self {
        x509_authorities: true,
        jwt_authorities: true,
        standard_jwks: false,
        refresh_hint: None,
        indent: 4,
        null_when_empty: false,
    };
    /// As the Workload API shows JWT bundles (AG-488).
    pub const JWT_JWKS: Self = Self { x509_authorities: false, standard_jwks: true, ..Self::SPIFFE };
}

/// A JSON object whose members keep their order.
struct Ordered(Vec<(&'static str, Member)>);

enum Member {
    Text(String),
    Number(i64),
    Texts(Vec<String>),
    Objects(Option<Vec<Ordered>>),
}

impl Serialize for Ordered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, member) in &self.0 {
            match member {
                Member::Text(value) => map.serialize_entry(name, value)?,
                Member::Number(value) => map.serialize_entry(name, value)?,
                Member::Texts(value) => map.serialize_entry(name, value)?,
                Member::Objects(value) => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

/// Writes a bundle. JWT keys are ordered by key id, so that equal bundles
/// give equal documents (AG-488).
pub fn marshal(bundle: &Bundle, contents: Contents) -> Result<Vec<u8>, DocumentError> {
    let mut keys = Vec::new();
    if contents.x509_authorities {
        for authority in &bundle.x509_authorities {
            for certificate in Certificate::parse_many(&authority.der)? {
                keys.push(x509_key(&certificate, contents)?);
            }
        }
    }
    if contents.jwt_authorities {
        let mut authorities: Vec<&JwtAuthority> = bundle.jwt_authorities.iter().collect();
        authorities.sort_by(|a, b| a.key_id.cmp(&b.key_id));
        for authority in authorities {
            let key = PublicKey::from_pkix(&authority.public_key).map_err(JwkError::from)?;
            keys.push(Ordered(key_entry("jwt-svid", Some(&authority.key_id), &key, contents)?));
        }
    }
    let empty = keys.is_empty() && contents.null_when_empty;
    let mut document = vec![("keys", Member::Objects((!empty).then_some(keys)))];
    if !contents.standard_jwks {
        let sequence = i64::try_from(bundle.sequence_number).unwrap_or(i64::MAX);
        let hint = contents.refresh_hint.unwrap_or(bundle.refresh_hint);
        document.extend((sequence > 0).then_some(("spiffe_sequence", Member::Number(sequence))));
        document.extend((hint > 0).then_some(("spiffe_refresh_hint", Member::Number(hint))));
    }
    write(&Ordered(document), contents.indent)
}

fn x509_key(certificate: &Certificate, contents: Contents) -> Result<Ordered, DocumentError> {
    let mut members = key_entry("x509-svid", None, &certificate.public_key()?, contents)?;
    members.push(("x5c", Member::Texts(vec![STANDARD.encode(certificate.der())])));
    Ok(Ordered(members))
}

/// `use kty kid crv x y n e`, in this order (CA-322).
fn key_entry(
    use_: &'static str,
    key_id: Option<&str>,
    key: &PublicKey,
    contents: Contents,
) -> Result<Vec<(&'static str, Member)>, DocumentError> {
    let mut entry = Vec::with_capacity(8);
    if !contents.standard_jwks {
        entry.push(("use", Member::Text(use_.to_owned())));
    }
    for (name, value) in jwk_members(key)? {
        entry.push((name, Member::Text(value)));
        if name == "kty"
            && let Some(key_id) = key_id
        {
            entry.push(("kid", Member::Text(key_id.to_owned())));
        }
    }
    Ok(entry)
}

fn write(document: &Ordered, indent: usize) -> Result<Vec<u8>, DocumentError> {
    let mut out = Vec::with_capacity(1024);
    if indent == 0 {
        serde_json::to_writer(&mut out, document)?;
        return Ok(out);
    }
    let spaces = " ".repeat(indent);
    let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
    document.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use spire_types::X509Authority;

    use super::*;
    use crate::key::{KeyType, PrivateKey};

    fn bundle() -> Bundle {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let mut bundle = Bundle::empty("td".parse().unwrap());
        bundle.jwt_authorities.push(JwtAuthority {
            key_id: "kid".into(),
            public_key: key.public_key().pkix().into(),
            expires_at: 0,
            tainted: false,
        });
        bundle.sequence_number = 7;
        bundle
    }

    #[test]
    fn documents_read_back_as_they_were_written() {
        let bundle = bundle();
        let text = marshal(&bundle, Contents::SPIFFE).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("{\n    \"keys\": [\n        {\n            \"use\": \"jwt-svid\",\n            \"kty\": \"EC\",\n            \"kid\": \"kid\",\n            \"crv\": \"P-256\","), "{text}");
        assert!(text.ends_with("\n    ],\n    \"spiffe_sequence\": 7\n}"), "{text}");
        let again = unmarshal("td".parse().unwrap(), text.as_bytes(), Reader::GoSpiffe).unwrap();
        assert_eq!(again, bundle);
    }

    /// A self-signed certificate.
    const ROOT: &str = "MIIBbjCCARWgAwIBAgIUHtib1HvsQlcQ2h9hhpcQfLoEG+8wCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBcjAgFw0yNjExMjgxNzA5\
        MDNaGA8yMTI2MTEwNDE3MDkwM1owDDEKMAgGA1UEAwwBcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEBWmCHVweXg6BKTq9tv\
        uBYC02qWbKd4wckueKFJYFgNecuh5ci7uZYgAZUyNaxerx0APdJndrynJtKWgkD74Z6jUzBRMB0GA1UdDgQWBBQMx7HmUKGKA0KI\
        WOBLzvtS2I9lqjAfBgNVHSMEGDAWgBQMx7HmUKGKA0KIWOBLzvtS2I9lqjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cA\
        MEQCIBV1pKhdDrPeCbSo2soFiZmxKQ8LFAT6+z4OHVKZ8uwWAiAtVBSqvOGuH2jlXh1dxOUh0lHWIb9aVZdHBrq+AVQoFA==";

    fn with_root() -> Bundle {
        let mut bundle = bundle();
        let der = STANDARD.decode(ROOT).unwrap().into();
        bundle.x509_authorities.push(X509Authority { der, tainted: true });
        bundle
    }

    #[test]
    fn each_authority_is_one_key_with_its_use() {
        // CA-323 to CA-325, CA-392, CA-405, CA-409, CA-410
        let value = |contents| -> Value {
            serde_json::from_slice(&marshal(&with_root(), contents).unwrap()).unwrap()
        };
        let document = value(Contents { refresh_hint: Some(300), ..Contents::SPIFFE });
        let names = |key: &Value| key.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let keys = &document["keys"];
        assert_eq!((keys.as_array().unwrap().len(), &document["spiffe_sequence"]), (2, &7.into()));
        assert_eq!(document["spiffe_refresh_hint"], 300);
        assert_eq!((&keys[0]["use"], &keys[1]["use"]), (&"x509-svid".into(), &"jwt-svid".into()));
        assert_eq!(keys[0]["x5c"], serde_json::json!([ROOT]));
        assert_eq!(names(&keys[0]), ["crv", "kty", "use", "x", "x5c", "y"]);
        assert_eq!(names(&keys[1]), ["crv", "kid", "kty", "use", "x", "y"]);
        let tokens = value(Contents::JWT_JWKS);
        assert_eq!(names(&tokens), ["keys"]);
        assert_eq!(names(&tokens["keys"][0]), ["crv", "kid", "kty", "x", "y"], "CA-446");
        let empty = marshal(&Bundle::empty("td".parse().unwrap()), Contents::SPIFFE).unwrap();
        assert_eq!(empty, b"{\n    \"keys\": []\n}", "CA-411");
    }

    #[test]
    fn x509_authorities_have_exactly_one_certificate_of_their_key() {
        // CA-330 to CA-333, CA-392, CA-393
        let text = marshal(&with_root(), Contents::SPIFFE).unwrap();
        let mut document: Value = serde_json::from_slice(&text).unwrap();
        let read = |document: &Value, reader| {
            unmarshal("td".parse().unwrap(), document.to_string().as_bytes(), reader)
                .map_err(|e| e.to_string())
        };
        let twice = serde_json::json!({"keys": [document["keys"][0], document["keys"][0]]});
        assert_eq!(read(&twice, Reader::GoSpiffe).unwrap().x509_authorities.len(), 1);
        for reader in [Reader::Spire, Reader::GoSpiffe] {
            assert_eq!(
                read(&serde_json::json!({"keys": []}), reader),
                Ok(Bundle::empty("td".parse().unwrap()))
            );
            for (chain, expected) in [
                (serde_json::json!([]), "expected a single certificate in x509-svid entry 0; got 0"),
                (
                    serde_json::json!([ROOT, ROOT]),
                    "expected a single certificate in x509-svid entry 0; got 2",
                ),
                (
                    serde_json::json!(["!"]),
                    "go-jose/go-jose: failed to unmarshal x5c field: illegal base64 data at input byte 0",
                ),
            ] {
                document["keys"][0]["x5c"] = chain;
                assert_eq!(read(&document, reader).unwrap_err(), expected);
            }
            document["keys"][0]["x5c"] = serde_json::json!([ROOT]);
            let mut other = document.clone();
            for coordinate in ["x", "y"] {
                other["keys"][0][coordinate] = document["keys"][1][coordinate].clone();
            }
            assert_eq!(
                read(&other, reader).unwrap_err(),
                "go-jose/go-jose: invalid JWK, public keys in key and x5c fields do not match"
            );
        }
    }
}
