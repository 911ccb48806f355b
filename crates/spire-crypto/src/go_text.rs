//! Malformed input in the words of Go's decoders, which users of SPIRE know and search for.

mod json_syntax;

use base64::DecodeError;
use serde_json::error::Category;

pub use json_syntax::json_syntax_error;

/// What `encoding/json` says of a document that `serde_json` refused.
pub fn json_error(document: &[u8], error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Io => error.to_string(),
        // Go looks at all of a document before it reads any of it.
        _ => json_syntax_error(document).unwrap_or_else(|| format!("json: cannot unmarshal: {error}")),
    }
}

/// What `encoding/base64` says of a text in the standard alphabet, with padding.
pub fn base64_error(text: &str, error: &DecodeError) -> String {
    illegal(corrupt_byte(text.as_bytes(), *b"+/", true), text, error)
}

/// What `encoding/base64` says of a text in the alphabet for URLs, without padding.
pub fn base64url_error(text: &str, error: &DecodeError) -> String {
    illegal(corrupt_byte(text.as_bytes(), *b"-_", false), text, error)
}

/// Go lets pass what is not as it should be in the last symbol.
fn illegal(corrupt: Option<usize>, text: &str, error: &DecodeError) -> String {
    let at = corrupt.unwrap_or(match error {
        DecodeError::InvalidLastSymbol { offset, .. } => *offset,
        _ => text.len(),
    });
    format!("illegal base64 data at input byte {at}")
}

/// Where Go stops reading; line breaks count for nothing, and a group that is not full is named by its start.
fn corrupt_byte(text: &[u8], last_two: [u8; 2], padded: bool) -> Option<usize> {
    let mut symbols = text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    let mut filled = 0; // of the group of four
    while let Some((at, byte)) = symbols.next() {
        if byte.is_ascii_alphanumeric() || last_two.contains(byte) {
            filled = (filled + 1) % 4;
            continue;
        }
        if !padded || *byte != b'=' || filled < 2 {
            return Some(at);
        }
        if filled == 2 {
            match symbols.next() {
                Some((_, b'=')) => {}
                Some((at, _)) => return Some(at - 1),
                None => return Some(text.len()),
            }
        }
        return symbols.next().map(|(at, _)| at);
    }
    let unfinished = filled == 1 || (padded && filled > 0);
    unfinished.then(|| text.len() - filled)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn broken_documents_are_described_as_go_does() {
        for (document, text) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":", "unexpected end of JSON input"),
            ("junk", "invalid character 'j' looking for beginning of value"),
            ("{\n  x", "invalid character 'x' looking for beginning of object key string"),
            ("{}x", "invalid character 'x' after top-level value"),
        ] {
            let error = serde_json::from_str::<serde_json::Value>(document).unwrap_err();
            assert_eq!(json_error(document.as_bytes(), &error), text, "{document:?}");
        }
        let error = serde_json::from_str::<Vec<u8>>("{}").unwrap_err();
        assert!(json_error(b"{}", &error).starts_with("json: cannot unmarshal"));
    }

    #[test]
    fn broken_base64_is_described_as_go_does() {
        // Users compare these texts with those of SPIRE to find the byte that was cut off.
        for (text, at) in [("e", 0), ("AAAAe", 4), ("AAA=", 3), ("AA==", 2), ("A+", 1), ("AA\nA\n!", 5)] {
            let error = URL_SAFE_NO_PAD.decode(text).unwrap_err();
            let expected = format!("illegal base64 data at input byte {at}");
            assert_eq!(base64url_error(text, &error), expected, "{text:?}");
        }
        for (text, at) in [
            ("!", 0),
            ("A", 0),
            ("AAAAAA", 4),
            ("A===", 1),
            ("AA=", 3),
            ("AA=A", 2),
            ("AA==A", 4),
            ("AAA=AAAA", 4),
            ("-AAA", 0),
        ] {
            let error = STANDARD.decode(text).unwrap_err();
            let expected = format!("illegal base64 data at input byte {at}");
            assert_eq!(base64_error(text, &error), expected, "{text:?}");
        }
    }
}
