//! The protected header of a JWT (RFC 7515 section 4). Like go-jose, it reads members that nobody needs: what cannot
//! be read is refused.

use serde_json::Value;
use serde_json::value::RawValue;
use spire_types::go_text::quote as go_quote;

use super::jwk::{Jwk, certificate_chain};
use super::jwt_svid::JwtError;
use super::strict_json::{self, Members};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Empty if it is not there.
    pub(super) algorithm: String,
    /// Empty if it is not there.
    pub(super) key_id: String,
    /// `typ` is something else than a JWT-SVID may have (CA-398, CA-552).
    pub(super) foreign_type: bool,
    /// There is a `crit`.
    pub(super) critical: bool,
    /// `b64` says that the claims were signed as they are (RFC 7797, which forbids it to JWTs).
    pub(super) unencoded: bool,
    /// `jwk` is not a public key.
    pub(super) secret_key: bool,
}

impl Header {
    pub(super) fn read(text: &[u8]) -> Result<Self, JwtError> {
        let mut header = Self::default();
        if text.is_empty() {
            return Ok(header);
        }
        for (name, raw) in Members::read(text, "jose.rawHeader").map_err(JwtError::Parse)?.iter() {
            header.set(name, raw).map_err(|(what, reason)| {
                let raw = go_quote(raw.get());
                JwtError::Parse(format!("failed to unmarshal {what}: {reason}: {raw}"))
            })?;
        }
        Ok(header)
    }

    fn set(&mut self, name: &str, raw: &RawValue) -> Result<(), (&'static str, String)> {
        match name {
            "alg" => self.algorithm = strict_json::string(raw).map_err(|e| ("algorithm", e))?,
            "kid" => self.key_id = strict_json::string(raw).map_err(|e| ("key ID", e))?,
            "nonce" => drop(strict_json::string(raw).map_err(|e| ("nonce", e))?),
            "jwk" => {
                let key = Jwk::read(raw).map_err(|e| ("JWK", e.to_string()))?;
                self.secret_key = !key.is_public();
            }
            "x5c" => {
                let chain = strict_json::strings(raw).and_then(|texts| certificate_chain(&texts));
                chain.map_err(|e| ("x5c header", e))?;
            }
            _ => {
                let value = strict_json::value(raw.get().as_bytes()).map_err(|e| ("value", e))?;
                match name {
                    "typ" => self.foreign_type = !matches!(value.as_str(), Some("JWT" | "JOSE")),
                    "crit" => self.critical = true,
                    "b64" => self.unencoded = value == Value::Bool(false),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_matter_are_read() {
        let text = br#"{"alg":"ES256","kid":"k","typ":"at+jwt","crit":["b64"],"b64":false,"x":{"y":[1]}}"#;
        let expected = Header {
            algorithm: "ES256".into(),
            key_id: "k".into(),
            foreign_type: true,
            critical: true,
            unencoded: true,
            secret_key: false,
        };
        assert_eq!(Header::read(text).unwrap(), expected);
        for text in ["", "null", "{}", r#"{"alg":null,"typ":"JWT","b64":true,"jwk":null,"crit":null}"#] {
            assert_eq!(Header::read(text.as_bytes()).unwrap(), Header::default(), "{text}");
        }
        let secret = br#"{"jwk":{"kty":"oct","k":"AA"}}"#;
        assert!(Header::read(secret).unwrap().secret_key, "a symmetric key");
    }

    #[test]
    fn members_that_cannot_be_read_are_refused_in_the_words_of_go_jose() {
        // Security: SPIRE takes none of these tokens, even if it does not look at the member.
        let number = "json: cannot unmarshal number into Go value of type";
        for (text, expected) in [
            (r#"{"alg":"ES256","alg":"none"}"#, "json: duplicate key 'alg' in object".to_owned()),
            ("[]", "json: cannot unmarshal array into Go value of type jose.rawHeader".to_owned()),
            (r#"{"kid":5}"#, format!("failed to unmarshal key ID: {number} string: \"5\"")),
            (r#"{"alg":5}"#, format!("failed to unmarshal algorithm: {number} string: \"5\"")),
            (r#"{"nonce":5}"#, format!("failed to unmarshal nonce: {number} string: \"5\"")),
            (r#"{"jwk":5}"#, format!("failed to unmarshal JWK: {number} jose.rawJSONWebKey: \"5\"")),
            (
                r#"{"jwk":{}}"#,
                "failed to unmarshal JWK: go-jose/go-jose: missing json web key type: \"{}\"".to_owned(),
            ),
            (
                r#"{"jwk":{"kty":"EC"}}"#,
                "failed to unmarshal JWK: go-jose/go-jose: unsupported elliptic curve '': \
                 \"{\\\"kty\\\":\\\"EC\\\"}\""
                    .to_owned(),
            ),
            (r#"{"x5c":5}"#, format!("failed to unmarshal x5c header: {number} []string: \"5\"")),
            (
                r#"{"x5c":["x"]}"#,
                "failed to unmarshal x5c header: illegal base64 data at input byte 0: \"[\\\"x\\\"]\""
                    .to_owned(),
            ),
            (
                r#"{"x":[{"a":1,"a":1}]}"#,
                "failed to unmarshal value: json: duplicate key 'a' in object: \
                 \"[{\\\"a\\\":1,\\\"a\\\":1}]\""
                    .to_owned(),
            ),
        ] {
            let error = Header::read(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, format!("unable to parse JWT token: {expected}"));
        }
    }
}
