//! base64 as Go reads it: line breaks count for nothing.

use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE_NO_PAD};
use base64::{DecodeError, Engine as _};

use crate::go_text::{base64_error, base64url_error};

/// The alphabet for URLs, without padding; the error is in the words of Go.
pub(super) fn url(text: &str) -> Result<Vec<u8>, String> {
    decode(&URL_SAFE_NO_PAD, text).map_err(|error| base64url_error(text, &error))
}

/// The standard alphabet, with padding.
pub(super) fn standard(text: &str) -> Result<Vec<u8>, String> {
    decode(&STANDARD, text).map_err(|error| base64_error(text, &error))
}

pub(super) fn has_line_breaks(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'\r' | b'\n'))
}

pub(super) fn without_line_breaks(text: &str) -> String {
    text.replace(['\r', '\n'], "")
}

fn decode(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, DecodeError> {
    match engine.decode(text) {
        Err(_) if has_line_breaks(text) => engine.decode(without_line_breaks(text)),
        decoded => decoded,
    }
}
