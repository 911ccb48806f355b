//! JSON that users write, read as Go's `encoding/json` reads it (SC-248, SC-249, SC-254, SC-313).

mod target;

use serde_json::value::RawValue;
use spire_crypto::go_text;

pub(super) use target::{Member, Reading, Struct, Target};

/// Reads a document. An error is what Go says: the first thing that is no JSON, or else the first value that does not
/// fit.
pub(super) fn read<T: Target + Default>(data: &[u8]) -> Result<T, String> {
    let text = text(data);
    let document: &RawValue = serde_json::from_str(&text).map_err(|error| syntax_error(data, &error))?;
    let mut reading = Reading::default();
    let mut target = T::default();
    target.store(document, &mut reading);
    reading.outcome().map(|()| target)
}

fn syntax_error(data: &[u8], error: &serde_json::Error) -> String {
    go_text::json_error(data, error)
}

/// Go puts U+FFFD in the place of each byte that is no UTF-8.
fn text(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len());
    for chunk in data.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests;
