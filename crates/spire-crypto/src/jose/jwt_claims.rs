//! The claims of a JWT-SVID, as they are written, and as go-jose reads and judges them.

use serde::Serialize;
use serde_json::{Map, Value};
use spire_types::go_text::quote as go_quote;

use super::jwt_svid::JwtError;
use super::strict_json::{self, mismatch};

/// All claims of a token, as they stand in it.
pub type Claims = Map<String, Value>;

/// The claims of a JWT-SVID in the order in which they are written (CA-260, CA-261).
#[derive(Debug, Clone, Serialize)]
pub struct JwtClaims<'a> {
    pub aud: &'a [String],
    pub exp: i64,
    pub iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<&'a str>,
    pub sub: &'a str,
}

/// Tolerance on `exp`, `nbf` and `iat` in seconds (AG-494).
const LEEWAY: f64 = 60.0;

/// Go counts the seconds of its times from the year 1, in 64 bits; what is later wraps around.
const LATEST: f64 = (i64::MAX - 62_135_596_800) as f64;

/// Reads all claims before anybody looks at any of them.
pub(super) fn read(text: &[u8]) -> Result<Claims, JwtError> {
    let claims = match strict_json::value(text).map_err(JwtError::Claims)? {
        Value::Object(claims) => claims,
        Value::Null => Claims::new(),
        _ => return Err(JwtError::Claims(mismatch(text, "jwt.Claims"))),
    };
    match claims.get("aud") {
        None | Some(Value::String(_)) => {}
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {}
        Some(_) => {
            let text = "go-jose/go-jose/jwt: expected string or array value to unmarshal to Audience";
            return Err(JwtError::Claims(text.to_owned()));
        }
    }
    for name in ["iss", "sub", "jti"] {
        match claims.get(name) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                return Err(JwtError::Claims(mismatch(other.to_string().as_bytes(), "string")));
            }
        }
    }
    for name in ["exp", "nbf", "iat"] {
        date(&claims, name)?;
    }
    Ok(claims)
}

/// A time in whole seconds. One that Go's clock cannot hold is before all others there, even if it is meant to be
/// after them.
pub(super) fn date(claims: &Claims, name: &str) -> Result<Option<f64>, JwtError> {
    let seconds = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_f64().ok_or_else(|| {
            let text = "go-jose/go-jose/jwt: expected number value to unmarshal NumericDate";
            JwtError::Claims(text.to_owned())
        })?,
    };
    Ok(Some(if seconds.abs() < LATEST { seconds.trunc() } else { f64::NEG_INFINITY }))
}

pub(super) fn check_audience(claims: &Claims, wanted: &str) -> Result<(), JwtError> {
    let found: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if found.contains(&wanted) {
        return Ok(());
    }
    Err(JwtError::Audience { expected: quoted_list(&[wanted]), found: quoted_list(&found) })
}

pub(super) fn check_times(claims: &Claims, expiry: f64, now_unix: i64) -> Result<(), JwtError> {
    let now = now_unix as f64;
    if date(claims, "nbf")?.is_some_and(|not_before| now + LEEWAY < not_before) {
        return Err(JwtError::NotYetValid);
    }
    // The second has begun: its start is the only moment of it that is not after.
    if now - LEEWAY >= expiry {
        return Err(JwtError::Expired);
    }
    if date(claims, "iat")?.is_some_and(|issued| now + LEEWAY < issued) {
        return Err(JwtError::IssuedInFuture);
    }
    Ok(())
}

/// Go's `%q` of a list of texts.
pub(super) fn quoted_list(list: &[&str]) -> String {
    let quoted: Vec<String> = list.iter().map(|item| go_quote(item)).collect();
    format!("[{}]", quoted.join(" "))
}
