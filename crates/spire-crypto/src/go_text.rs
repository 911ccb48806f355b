//! Malformed input in the words of Go's decoders, which users of SPIRE know and search for.

use base64::DecodeError;
use serde_json::error::Category;

/// What `encoding/json` says of a document that `serde_json` refused.
pub fn json_error(document: &[u8], error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "unexpected end of JSON input".to_owned(),
        Category::Syntax => match character_at(document, error.line(), error.column()) {
            Some(found) if error.to_string().starts_with("trailing characters") => {
                format!("invalid character {found:?} after top-level value")
            }
            Some(found) => format!("invalid character {found:?} looking for beginning of value"),
            None => "unexpected end of JSON input".to_owned(),
        },
        Category::Data => format!("json: cannot unmarshal: {error}"),
        Category::Io => error.to_string(),
    }
}

/// Columns count bytes from one and name the last byte that was read.
fn character_at(document: &[u8], line: usize, column: usize) -> Option<char> {
    let line = document.split(|byte| *byte == b'\n').nth(line.checked_sub(1)?)?;
    let rest = line.get(column.saturating_sub(1)..)?;
    String::from_utf8_lossy(rest).chars().next()
}

/// What `encoding/base64` says of a text.
pub fn base64_error(text: &str, error: &DecodeError) -> String {
    let at = match error {
        DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol { offset, .. } => *offset,
        _ => text.len(),
    };
    format!("illegal base64 data at input byte {at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_documents_are_described_as_go_does() {
        for (document, text) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":", "unexpected end of JSON input"),
            ("junk", "invalid character 'j' looking for beginning of value"),
            ("{\n  x", "invalid character 'x' looking for beginning of value"),
            ("{}x", "invalid character 'x' after top-level value"),
        ] {
            let error = serde_json::from_str::<serde_json::Value>(document).unwrap_err();
            assert_eq!(json_error(document.as_bytes(), &error), text, "{document:?}");
        }
        let error = serde_json::from_str::<Vec<u8>>("{}").unwrap_err();
        assert!(json_error(b"{}", &error).starts_with("json: cannot unmarshal"));
    }
}
