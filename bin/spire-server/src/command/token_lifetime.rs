//! Whether a token lives as long as was asked for (SC-335, SC-336).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use spire_cli::go_text;

/// A minted token.
pub(super) struct Token<'a> {
    pub(super) kind: &'static str,
    pub(super) text: &'a str,
    /// As the server told it.
    pub(super) issued_at: i64,
}

/// What to tell about the lifetime on the error stream, if anything; `ttl` in seconds. A token whose lifetime cannot
/// be found out is a good token nevertheless.
pub(super) fn note(token: &Token<'_>, ttl: i32) -> Result<Option<String>, String> {
    if token.text.is_empty() {
        return Err("server response missing token".to_owned());
    }
    let kind = token.kind;
    Ok(match expiry(token.text) {
        Err(reason) => Some(format!("Unable to determine {kind} lifetime: {reason}\n")),
        // Measured between the server's own times: upstream's comparison with the local clock is wrong by its
        // fraction of a second.
        Ok(expires_at) if expires_at - token.issued_at < i64::from(ttl) => Some(format!(
            "{kind} lifetime was capped shorter than specified ttl; expires \"{}\"\n",
            go_text::rfc3339(expires_at)
        )),
        Ok(_) => None,
    })
}

fn expiry(token: &str) -> Result<i64, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, claims, _] = parts[..] else {
        return Err("go-jose/go-jose: compact JWS format must have three parts".to_owned());
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|error| error.to_string())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|error| error.to_string())?;
    let expiry = claims.get("exp").and_then(|value| match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64)),
        _ => None,
    });
    expiry.ok_or_else(|| "no expiry claim".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note_of(claims: &str, ttl: i32) -> Option<String> {
        let text = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        note(&Token { kind: "JWT-SVID", text: &text, issued_at: 1000 }, ttl).unwrap()
    }

    #[test]
    fn a_lifetime_that_was_cut_is_told() {
        // SC-335
        assert_eq!(note_of(r#"{"exp":1300}"#, 300), None);
        assert_eq!(note_of(r#"{"exp":1300}"#, 0), None);
        assert_eq!(
            note_of(r#"{"exp":1300.0}"#, 301).unwrap(),
            "JWT-SVID lifetime was capped shorter than specified ttl; expires \"1970-01-01T00:21:40Z\"\n"
        );
    }

    #[test]
    fn a_lifetime_that_is_not_known_is_no_failure() {
        // SC-335
        assert_eq!(note_of("{}", 1).unwrap(), "Unable to determine JWT-SVID lifetime: no expiry claim\n");
        let token = Token { kind: "JWT-SVID", text: "x", issued_at: 0 };
        assert!(
            note(&token, 1).unwrap().unwrap().starts_with("Unable to determine JWT-SVID lifetime: go-jose")
        );
        assert_eq!(note(&Token { text: "", ..token }, 1).unwrap_err(), "server response missing token");
    }
}
