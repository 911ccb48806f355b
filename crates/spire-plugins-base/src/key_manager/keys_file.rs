//! `keys.json` (PL-243 to PL-248).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize as _;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value};
use spire_crypto::PrivateKey;
use spire_plugin::{Code, PluginError};
use zeroize::Zeroizing;

use super::ring::{KeyRing, LocalKey};

/// Reads the file; one that is not there holds no keys.
pub(super) fn read(path: &Path) -> Result<KeyRing, PluginError> {
    let text = match std::fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(KeyRing::new()),
        Err(error) => {
            let doing = if error.kind() == std::io::ErrorKind::IsADirectory { "read" } else { "open" };
            let reason = spire_runtime::logging::os_error_text(&error);
            return Err(PluginError::new(Code::Unknown, format!("{doing} {}: {reason}", path.display())));
        }
    };
    let undecodable = |error: &dyn std::fmt::Display| {
        PluginError::internal(format!(
            "unable to decode keys JSON: {error} (file {:?})",
            path.display().to_string()
        ))
    };
    let document: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| undecodable(&spire_crypto::go_text::json_error(&text, &error)))?;
    let keys = document.iter().find(|(name, _)| name.eq_ignore_ascii_case("keys")).map(|(_, keys)| keys);
    let mut ring = KeyRing::new();
    match keys {
        None | Some(Value::Null) => {}
        Some(Value::Object(keys)) => {
            for (id, value) in keys {
                let der = value.as_str().and_then(|text| STANDARD.decode(text).ok()).map(Zeroizing::new);
                let der = der.ok_or_else(|| undecodable(&format!("key {id:?} is not base64")))?;
                ring.insert(id.clone(), Arc::new(key(id, &der)?));
            }
        }
        Some(_) => return Err(undecodable(&"\"keys\" is not an object")),
    }
    Ok(ring)
}

fn key(id: &str, der: &[u8]) -> Result<LocalKey, PluginError> {
    let key = PrivateKey::from_pkcs8(der)
        .map_err(|error| PluginError::internal(format!("unable to parse key {id:?}: {error}")))?;
    if key.key_type().is_none() {
        let kind = key.public_key().algorithm();
        return Err(PluginError::internal(format!(
            "unable to make entry {id:?}: unexpected key type {kind:?}"
        )));
    }
    Ok(LocalKey { id: id.to_owned(), key })
}

/// The file's content: tab-indented, ids sorted, no newline at its end.
pub(super) fn write(ring: &KeyRing) -> Result<Zeroizing<Vec<u8>>, PluginError> {
    let failed =
        |error: &dyn std::fmt::Display| PluginError::internal(format!("unable to write entries: {error}"));
    let mut keys: BTreeMap<&str, Zeroizing<String>> = BTreeMap::new();
    for (id, entry) in ring {
        let pkcs8 = entry.key.to_pkcs8().map_err(|error| failed(&error))?;
        keys.insert(id, Zeroizing::new(STANDARD.encode(&*pkcs8)));
    }
    let plain: BTreeMap<&str, &str> = keys.iter().map(|(id, text)| (*id, text.as_str())).collect();
    let document = BTreeMap::from([("keys", plain)]);
    let mut out = Zeroizing::new(Vec::with_capacity(4096));
    document
        .serialize(&mut serde_json::Serializer::with_formatter(
            &mut *out,
            PrettyFormatter::with_indent(b"\t"),
        ))
        .map_err(|error| failed(&error))?;
    Ok(out)
}
