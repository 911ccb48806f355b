//! Reading, as Go's `encoding/json` finds the members of the document, and go-jose those of its keys.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use spire_types::{Bundle, JwtAuthority, TrustDomain, X509Authority};

use super::DocumentError;
use crate::go_text::{json_error, json_syntax_error};
use crate::jose::strict_json::{kind, mismatch};
use crate::jose::{Jwk, JwkError};

/// Which of upstream's two readers to be (CA-330, CA-331).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Of the agent's bootstrap and of federation: an absent list is empty.
    Spire,
    /// Of the command line: `keys` must be there.
    GoSpiffe,
}

/// Reads a document. Keys of unknown or missing `use` are passed over, as the
/// standard wants (CA-412, CA-542); the command line takes none that it cannot read.
pub fn unmarshal(
    trust_domain: TrustDomain,
    document: &[u8],
    reader: Reader,
) -> Result<Bundle, DocumentError> {
    let document = Document::read(document, reader).map_err(DocumentError::Read)?;
    let mut keys = Vec::new();
    for (index, raw) in document.keys()?.iter().enumerate() {
        let members = Jwk::members(raw)?;
        let kind = Use::of(&members.text("use").map_err(JwkError::Json)?);
        if kind != Use::Other || reader == Reader::GoSpiffe {
            keys.push((index, kind, Jwk::of(&members)?));
        }
    }
    let sequence_number = number(document.sequence, "spiffe_sequence", "uint64")?;
    let mut bundle = Bundle::empty(trust_domain);
    bundle.refresh_hint = number(document.refresh_hint, "spiffe_refresh_hint", reader.integer())?;
    if reader == Reader::GoSpiffe {
        bundle.sequence_number = sequence_number;
        if document.keys.is_none() {
            return Err(DocumentError::NoAuthorities);
        }
    }
    for (index, kind, key) in keys {
        add(&mut bundle, index, kind, key, reader)?;
    }
    Ok(bundle)
}

impl Reader {
    /// Go's type of the document.
    fn go_type(self) -> &'static str {
        match self {
            Self::Spire => "bundleutil.bundleDoc",
            Self::GoSpiffe => "spiffebundle.bundleDoc",
        }
    }

    /// Go's type of the refresh hint.
    fn integer(self) -> &'static str {
        match self {
            Self::Spire => "int",
            Self::GoSpiffe => "int64",
        }
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    X509Svid,
    JwtSvid,
    WitSvid,
    Other,
}

impl Use {
    fn of(text: &str) -> Self {
        match text {
            "x509-svid" => Self::X509Svid,
            "jwt-svid" => Self::JwtSvid,
            "wit-svid" => Self::WitSvid,
            _ => Self::Other,
        }
    }
}

fn add(bundle: &mut Bundle, index: usize, kind: Use, jwk: Jwk, reader: Reader) -> Result<(), DocumentError> {
    let Jwk { key_id, certificates, key } = jwk;
    match kind {
        Use::X509Svid => {
            let [certificate] = certificates.as_slice() else {
                return Err(DocumentError::Certificates { index, count: certificates.len() });
            };
            let authority = X509Authority { der: certificate.der().clone(), tainted: false };
            if !bundle.x509_authorities.contains(&authority) {
                bundle.x509_authorities.push(authority);
            }
        }
        Use::JwtSvid if key_id.is_empty() => {
            return Err(DocumentError::NoKeyId { use_: "jwt-svid", index });
        }
        Use::JwtSvid => match key.into_public() {
            Ok(key) => {
                bundle.jwt_authorities.retain(|known| known.key_id != key_id);
                let public_key = Arc::from(key.pkix());
                bundle.jwt_authorities.push(JwtAuthority {
                    key_id,
                    public_key,
                    expires_at: 0,
                    tainted: false,
                });
            }
            // Nobody can verify with it.
            Err(_) if reader == Reader::Spire => {}
            Err(go_type) => return Err(DocumentError::NotPublic(go_type)),
        },
        Use::WitSvid if key_id.is_empty() => {
            return Err(DocumentError::NoKeyId { use_: "wit-svid", index });
        }
        Use::WitSvid | Use::Other => {}
    }
    Ok(())
}

/// The members that count, in any case of their names; of several the last. `null` is not there.
#[derive(Default)]
struct Document<'a> {
    keys: Option<&'a RawValue>,
    sequence: Option<&'a RawValue>,
    refresh_hint: Option<&'a RawValue>,
}

impl<'a> Document<'a> {
    fn read(text: &'a [u8], reader: Reader) -> Result<Self, String> {
        match serde_json::from_slice::<Option<Self>>(text) {
            Ok(document) => Ok(document.unwrap_or_default()),
            Err(error) if error.is_data() => {
                Err(json_syntax_error(text).unwrap_or_else(|| mismatch(text, reader.go_type())))
            }
            Err(error) => Err(json_error(text, &error)),
        }
    }

    fn keys(&self) -> Result<Vec<&'a RawValue>, DocumentError> {
        let Some(raw) = self.keys else { return Ok(Vec::new()) };
        serde_json::from_str(raw.get())
            .map_err(|_| wrong(kind(raw.get().as_bytes()), "JSONWebKeySet.keys", "[]jose.JSONWebKey"))
    }
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut document = Document::default();
                while let Some(name) = map.next_key::<String>()? {
                    let raw: &RawValue = map.next_value()?;
                    let place = match name.to_ascii_lowercase().as_str() {
                        "keys" => &mut document.keys,
                        "spiffe_sequence" => &mut document.sequence,
                        "spiffe_refresh_hint" => &mut document.refresh_hint,
                        _ => continue,
                    };
                    *place = (raw.get() != "null").then_some(raw);
                }
                Ok(document)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A whole number in the range of its type; zero if it is not there.
fn number<T: Default + std::str::FromStr>(
    raw: Option<&RawValue>,
    field: &str,
    go_type: &str,
) -> Result<T, DocumentError> {
    let Some(raw) = raw else { return Ok(T::default()) };
    raw.get().parse().map_err(|_| match kind(raw.get().as_bytes()) {
        "number" => wrong(&format!("number {raw}"), field, go_type),
        other => wrong(other, field, go_type),
    })
}

fn wrong(found: &str, field: &str, go_type: &str) -> DocumentError {
    let field = format!("bundleDoc.{field}");
    DocumentError::Read(format!(
        "json: cannot unmarshal {found} into Go struct field {field} of type {go_type}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, reader: Reader) -> Result<Bundle, String> {
        unmarshal(trust_domain(), text.as_bytes(), reader).map_err(|error| error.to_string())
    }

    fn trust_domain() -> TrustDomain {
        "td".parse().unwrap()
    }

    const KEY: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    #[test]
    fn unknown_uses_are_passed_over_and_empty_documents_judged_by_reader() {
        // CA-330, CA-331, CA-412
        let odd = r#"{"keys":[{"use":"foo","kty":"XX"},{"kty":"EC"}]}"#;
        assert_eq!(read(odd, Reader::Spire), Ok(Bundle::empty(trust_domain())));
        let odd = format!(r#"{{"keys":[{{"use":"foo",{KEY}}},{{{KEY}}}]}}"#);
        assert_eq!(read(&odd, Reader::GoSpiffe), Ok(Bundle::empty(trust_domain())));
        for nothing in ["{}", "null", r#"{"keys":null}"#] {
            assert_eq!(read(nothing, Reader::Spire), Ok(Bundle::empty(trust_domain())));
            assert_eq!(read(nothing, Reader::GoSpiffe).unwrap_err(), "no authorities found");
        }
        let nameless = format!(r#"{{"keys":[{{"use":"jwt-svid",{KEY}}}]}}"#);
        assert_eq!(read(&nameless, Reader::Spire).unwrap_err(), "missing key ID in jwt-svid entry 0");
    }

    #[test]
    fn names_count_in_any_case_and_the_last_of_several() {
        // A document that SPIRE takes would else be stored as one without authorities.
        let text = format!(
            r#"{{"KEYS":[],"Keys":[{{"use":"jwt-svid","kid":"k",{KEY}}}],"x":1,"x":2,
                "Spiffe_Sequence":7,"SPIFFE_REFRESH_HINT":-5}}"#
        );
        let bundle = read(&text, Reader::GoSpiffe).unwrap();
        assert_eq!((bundle.jwt_authorities.len(), bundle.sequence_number, bundle.refresh_hint), (1, 7, -5));
        assert_eq!(read(&text, Reader::Spire).unwrap().sequence_number, 0);
    }

    #[test]
    fn members_of_other_types_are_refused() {
        // Else a mistyped document overwrites the stored bundle with an empty one.
        let field =
            |found, rest| format!("json: cannot unmarshal {found} into Go struct field bundleDoc.{rest}");
        for (text, expected) in [
            (r#"{"spiffe_sequence":"x"}"#, field("string", "spiffe_sequence of type uint64")),
            (r#"{"spiffe_sequence":-1}"#, field("number -1", "spiffe_sequence of type uint64")),
            (r#"{"spiffe_refresh_hint":1.50}"#, field("number 1.50", "spiffe_refresh_hint of type int64")),
            (r#"{"spiffe_refresh_hint":[]}"#, field("array", "spiffe_refresh_hint of type int64")),
            (r#"{"keys":5}"#, field("number", "JSONWebKeySet.keys of type []jose.JSONWebKey")),
            (r#"{"keys":[null]}"#, "go-jose/go-jose: missing json web key type".to_owned()),
            (
                r#"{"keys":["x"]}"#,
                "json: cannot unmarshal string into Go value of type jose.rawJSONWebKey".to_owned(),
            ),
            (
                r#"{"spiffe_sequence":"x","keys":[{"kty":"XX"}]}"#,
                "go-jose/go-jose: unsupported key type/format".to_owned(),
            ),
            ("[]", "json: cannot unmarshal array into Go value of type spiffebundle.bundleDoc".to_owned()),
            ("{", "unexpected end of JSON input".to_owned()),
        ] {
            assert_eq!(read(text, Reader::GoSpiffe).unwrap_err(), expected, "{text}");
        }
        let hint = read(r#"{"spiffe_refresh_hint":1.5}"#, Reader::Spire).unwrap_err();
        assert_eq!(hint, field("number 1.5", "spiffe_refresh_hint of type int"));
    }

    #[test]
    fn a_token_authority_that_is_no_public_key_is_not_stored() {
        let text = r#"{"keys":[{"use":"jwt-svid","kid":"k","kty":"oct","k":"AA"}]}"#;
        let error = read(text, Reader::GoSpiffe).unwrap_err();
        assert_eq!(error, "x509: unsupported public key type: []uint8");
        assert_eq!(read(text, Reader::Spire), Ok(Bundle::empty(trust_domain())));
    }
}
