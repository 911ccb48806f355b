//! `keys.json` (PL-243 to PL-248). Every copy of a key that is made on the way is wiped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::Serialize as _;
use serde_json::ser::PrettyFormatter;
use spire_crypto::{KeyAlgorithm, PrivateKey, PublicKey, go_text};
use spire_plugin::{Code, PluginError};
use zeroize::Zeroizing;

use super::ring::{KeyRing, LocalKey};

/// Reads the file; one that is not there holds no keys.
pub(super) fn read(path: &Path) -> Result<KeyRing, PluginError> {
    let text = match std::fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(KeyRing::new()),
        Err(error) => {
            let reason = spire_runtime::logging::read_error_text(path, &error);
            return Err(PluginError::new(Code::Unknown, reason));
        }
    };
    let undecodable = |reason: String| {
        PluginError::internal(format!(
            "unable to decode keys JSON: {reason} (file {:?})",
            path.display().to_string()
        ))
    };
    let file: Option<File> =
        serde_json::from_slice(&text).map_err(|error| undecodable(reason(&text, &error)))?;
    let mut ring = KeyRing::new();
    for (id, value) in file.unwrap_or_default().0 {
        let base64 = value.unwrap_or_default().0;
        let der = STANDARD.decode(&*base64).map(Zeroizing::new);
        let der = der.map_err(|error| undecodable(go_text::base64_error(&base64, &error)))?;
        let key = Arc::new(key(&id, &der)?);
        ring.insert(id, key);
    }
    Ok(ring)
}

/// The library quotes what it did not expect, which may be a key.
fn reason(text: &[u8], error: &serde_json::Error) -> String {
    match error.is_data() {
        true => format!("json: cannot unmarshal line {} column {}", error.line(), error.column()),
        false => go_text::json_error(text, error),
    }
}

/// The keys by id; other members are passed over, and names count in any case (PL-244).
#[derive(Default)]
struct File(BTreeMap<String, Option<Secret>>);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = File;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<File, A::Error> {
                let mut file = File::default();
                while let Some(name) = members.next_key::<String>()? {
                    if name.eq_ignore_ascii_case("keys") {
                        file.0 = members.next_value::<Option<_>>()?.unwrap_or_default();
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(file)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[derive(Default)]
struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(Zeroizing::new(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

fn key(id: &str, der: &[u8]) -> Result<LocalKey, PluginError> {
    let key = PrivateKey::from_pkcs8(der)
        .map_err(|error| PluginError::internal(format!("unable to parse key {id:?}: {error}")))?;
    if key.key_type().is_none() {
        return Err(PluginError::internal(format!(
            "unable to make entry {id:?}: unable to make key entry for key {id:?}: {}",
            unusable(key.public_key())
        )));
    }
    Ok(LocalKey { id: id.to_owned(), key })
}

fn unusable(key: &PublicKey) -> String {
    match key.algorithm() {
        KeyAlgorithm::Rsa { bits } => format!("no RSA key type for key bit length: {bits}"),
        KeyAlgorithm::EcP521 => "no EC key type for EC curve: P-521".to_owned(),
        other => format!("unexpected private key type {other:?}"),
    }
}

/// The file's content: tab-indented, ids sorted, no newline at its end.
pub(super) fn write(ring: &KeyRing) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut keys: BTreeMap<&str, Zeroizing<String>> = BTreeMap::new();
    for (id, entry) in ring {
        let pkcs8 = entry.key.to_pkcs8().map_err(|error| error.to_string())?;
        keys.insert(id, Zeroizing::new(STANDARD.encode(&*pkcs8)));
    }
    // Room for everything, escaped as it may be: a buffer that grows leaves copies behind.
    let size: usize = keys.iter().map(|(id, text)| 6 * id.len() + text.len() + 16).sum();
    let plain: BTreeMap<&str, &str> = keys.iter().map(|(id, text)| (*id, text.as_str())).collect();
    let document = BTreeMap::from([("keys", plain)]);
    let mut out = Zeroizing::new(Vec::with_capacity(size + 32));
    document
        .serialize(&mut serde_json::Serializer::with_formatter(
            &mut *out,
            PrettyFormatter::with_indent(b"\t"),
        ))
        .map_err(|error| error.to_string())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use spire_crypto::KeyType;

    use super::*;

    #[test]
    fn writing_does_not_grow_the_buffer() {
        let mut ring = KeyRing::new();
        for (id, kind) in [("x509-CA-A", KeyType::Rsa2048), ("odd \" id \n", KeyType::EcP384)] {
            let key = PrivateKey::generate(kind).unwrap();
            ring.insert(id.to_owned(), Arc::new(LocalKey { id: id.to_owned(), key }));
        }
        let out = write(&ring).unwrap();
        let size: usize = ring
            .iter()
            .map(|(id, entry)| 6 * id.len() + STANDARD.encode(&*entry.key.to_pkcs8().unwrap()).len() + 16)
            .sum();
        assert_eq!(out.capacity(), size + 32, "grown");
    }

    #[test]
    fn refusals_do_not_quote_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.json");
        for text in [
            r#"{"keys":"c2VjcmV0"}"#,
            r#""c2VjcmV0""#,
            r#"{"keys":{"a":["c2VjcmV0"]}}"#,
            r#"{"keys":{"a":"c2VjcmV0"}}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().message;
            assert!(error.starts_with("unable to ") && !error.contains("c2Vj"), "{error}");
        }
    }
}
