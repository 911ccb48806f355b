use std::borrow::Cow;
use std::path::PathBuf;

use spire_config::{Object, PluginData};
use spire_crypto::hash::sha512_half_hex;
use spire_runtime::logging::read_error_text;

/// Plugin data as it is now.
pub(crate) struct Loaded<'a> {
    pub object: Cow<'a, Object>,
    /// How two states of a file are told apart (SC-145).
    pub hash: String,
}

/// Reads the data; inline data never fails. The error is what a log line says of it.
pub(crate) fn load(data: &PluginData) -> Result<Loaded<'_>, String> {
    match data {
        PluginData::None => Ok(Loaded { object: Cow::Owned(Object::default()), hash: String::new() }),
        PluginData::Inline(object) => Ok(Loaded { object: Cow::Borrowed(object), hash: String::new() }),
        PluginData::File(path) => {
            let text = read(path).map_err(|text| format!("failed to load plugin data: {text}"))?;
            let object = spire_config::parse(&text).map_err(|error| {
                format!("rpc error: code = InvalidArgument desc = unable to decode configuration: {error}")
            })?;
            Ok(Loaded { object: Cow::Owned(object), hash: sha512_half_hex(text.as_bytes()) })
        }
    }
}

/// The text of a data file, or Go's words for why not.
pub(crate) fn read(path: &PathBuf) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| read_error_text(path, &error))
}
