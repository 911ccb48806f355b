use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use spire_config::Object;
use spire_crypto::KeyType;
use spire_plugin::{BuiltIn, Code, KeyManager, ManagedKey, PluginError};
use spire_runtime::logging::os_error_text;
use spire_runtime::{atomic_file, folders};
use tokio::sync::RwLock;

use super::keys_file;
use super::memory::generate;
use super::ring::{KeyRing, all, found};
use crate::shared::settings::{decode, note};

/// Keys in a file, `keys_path` (PL-241).
pub const DISK_FOR_SERVER: BuiltIn<dyn KeyManager> = BuiltIn {
    name: "disk",
    configurable: true,
    build: |_, data| Ok(Arc::new(DiskKeys::open(server_path(data)?)?)),
    validate: |_, data| note(server_path(data)),
};

/// Keys in `<directory>/keys.json` (PL-242, AG-247).
pub const DISK_FOR_AGENT: BuiltIn<dyn KeyManager> = BuiltIn {
    name: "disk",
    configurable: true,
    build: |_, data| {
        let directory = agent_directory(data)?;
        prepare(&directory)?;
        Ok(Arc::new(DiskKeys::open(directory.join("keys.json"))?))
    },
    validate: |_, data| note(agent_directory(data)),
};

fn required(data: &Object, key: &str, error: &str) -> Result<PathBuf, PluginError> {
    match decode(data, |fields| fields.string(key))? {
        Some(path) if !path.is_empty() => Ok(path.into()),
        _ => Err(PluginError::invalid(error)),
    }
}

fn server_path(data: &Object) -> Result<PathBuf, PluginError> {
    required(data, "keys_path", "keys_path is required")
}

fn agent_directory(data: &Object) -> Result<PathBuf, PluginError> {
    required(data, "directory", "directory must be configured")
}

/// Makes the folder and tries whether it can be written.
fn prepare(directory: &Path) -> Result<(), PluginError> {
    let failed = |reason: String| {
        PluginError::new(Code::FailedPrecondition, format!("directory validation failed: {reason}"))
    };
    folders::make(directory, 0o700).map_err(failed)?;
    let probe = directory.join(".probe");
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&probe)
        .map_err(|error| failed(format!("open {}: {}", probe.display(), os_error_text(&error))))?;
    // It harms nobody if it stays.
    let _ = std::fs::remove_file(&probe);
    Ok(())
}

#[derive(Debug)]
struct DiskKeys {
    path: PathBuf,
    ring: RwLock<KeyRing>,
}

impl DiskKeys {
    fn open(path: PathBuf) -> Result<Self, PluginError> {
        let ring = RwLock::new(keys_file::read(&path)?);
        Ok(Self { path, ring })
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> PluginError {
    PluginError::internal(format!("failed to generate key: unable to write entries: {error}"))
}

#[async_trait]
impl KeyManager for DiskKeys {
    async fn generate_key(&self, id: &str, kind: KeyType) -> Result<Arc<dyn ManagedKey>, PluginError> {
        let key = generate(id, kind).await?;
        // A writer's lock over the file: two keys must not overwrite each other's set.
        let mut ring = self.ring.write().await;
        let mut next = ring.clone();
        next.insert(id.to_owned(), key.clone());
        let bytes = keys_file::write(&next).map_err(|error| unwritten(&error))?;
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || atomic_file::write(&path, &bytes, 0o600))
            .await
            .map_err(|error| unwritten(&error))?
            .map_err(|error| unwritten(&spire_runtime::Chain(&error)))?;
        *ring = next;
        Ok(key)
    }

    async fn key(&self, id: &str) -> Result<Option<Arc<dyn ManagedKey>>, PluginError> {
        Ok(found(&*self.ring.read().await, id))
    }

    async fn keys(&self) -> Result<Vec<Arc<dyn ManagedKey>>, PluginError> {
        Ok(all(&*self.ring.read().await))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn disk_keeps_the_contract_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.json");
        let keys = DiskKeys::open(path.clone()).unwrap();
        spire_plugin::contract::check_key_manager(&keys).await;
        let again = DiskKeys::open(path.clone()).unwrap();
        let (old, new) = (keys.key("b").await.unwrap().unwrap(), again.key("b").await.unwrap().unwrap());
        assert_eq!(old.public_key(), new.public_key());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("{\n\t\"keys\": {\n\t\t\"a\": \"") && text.ends_with("\"\n\t}\n}"),
            "PL-243: {text}"
        );
    }

    #[test]
    fn a_damaged_file_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.json");
        for (content, start) in [
            ("{", "unable to decode keys JSON: unexpected end of JSON input"),
            ("", "unable to decode keys JSON: unexpected end of JSON input"),
            ("{ not json", "unable to decode keys JSON: invalid character 'n'"),
            ("[]", "unable to decode keys JSON: json: cannot unmarshal"),
            (r#"{"keys":[]}"#, "unable to decode keys JSON: json: cannot unmarshal"),
            (r#"{"keys":{"a":5}}"#, "unable to decode keys JSON: json: cannot unmarshal"),
            (r#"{"keys":{"a":"!"}}"#, "unable to decode keys JSON: illegal base64 data at input byte 0"),
            (r#"{"keys":{"a":"AAAA"}}"#, "unable to parse key \"a\""),
            (r#"{"keys":{"a":null}}"#, "unable to parse key \"a\""),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = DiskKeys::open(path.clone()).unwrap_err().message;
            assert!(error.starts_with(start), "PL-245: {error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
        for content in [r#"{"Keys":null,"other":[1]}"#, "null", r#"{"KEYS":{}}"#] {
            std::fs::write(&path, content).unwrap();
            assert!(DiskKeys::open(path.clone()).is_ok(), "PL-244: {content}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        // AG-247
        let error = prepare(Path::new("/proc/none/keys")).unwrap_err();
        assert_eq!(error.code, Code::FailedPrecondition);
        assert_eq!(error.message, "directory validation failed: mkdir /proc/none: no such file or directory");
    }
}
