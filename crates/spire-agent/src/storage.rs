//! What the agent keeps on disk: `<data_dir>/agent-data.json`, as SPIRE writes it (AG-242 to AG-246).

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spire_crypto::go_text::{base64_error, json_error};
use spire_crypto::pem;
use spire_crypto::x509::Certificate;
use spire_runtime::atomic_file;
use spire_runtime::logging::read_error_text;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;

const FILE: &str = "agent-data.json";
/// Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The file cannot be read, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("failed to open storage: failed to read data: {0}")]
    Read(String),
    /// The text is upstream's, which names no file; the log does.
    #[error("failed to open storage: failed to unmarshal data: {0}")]
    Malformed(String),
    #[error("failed to write data file: {0}")]
    Write(String),
}

/// How far the agent is on its way to a first trust (AG-217, AG-220).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootstrapState {
    pub purpose: Purpose,
    /// When the first attempt was.
    pub started: Option<OffsetDateTime>,
    pub attempts: i64,
}

/// `bootstrap_use`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    #[default]
    Unset,
    Bootstrap,
    Rebootstrap,
}

/// A stored identity; its key is with the key manager.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSvid {
    /// Leaf first.
    pub chain: Vec<Certificate>,
    pub reattestable: bool,
}

#[derive(Debug, Clone, Default)]
struct Data {
    svid: Vec<Certificate>,
    bundle: Vec<Certificate>,
    reattestable: bool,
    bootstrap: BootstrapState,
}

/// The members in the order in which SPIRE writes them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct OnDisk {
    #[serde(default)]
    svid: Option<Vec<String>>,
    #[serde(default)]
    bundle: Option<Vec<String>>,
    #[serde(default)]
    reattestable: Option<bool>,
    #[serde(default)]
    bootstrap_use: Option<i64>,
    #[serde(default)]
    bootstrap_start_time: Option<String>,
    #[serde(default)]
    connection_attempts: Option<i64>,
}

/// The opened file; every change is on disk before the call returns.
#[derive(Debug)]
pub struct Storage {
    path: PathBuf,
    data: Mutex<Data>,
}

impl Storage {
    /// Reads the file; none is an empty one (AG-203). A malformed one is left alone.
    pub fn open(data_dir: &Path) -> Result<Self, StorageError> {
        let path = data_dir.join(FILE);
        let shown = || path.display().to_string();
        let data = match std::fs::read(&path) {
            Ok(bytes) => Data::parse(&bytes).map_err(|reason| {
                tracing::warn!(
                    path = shown(),
                    reason,
                    "The agent's data cannot be read and is left as it is; restore the file, or remove it to attest anew"
                );
                StorageError::Malformed(reason)
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Data::default(),
            Err(error) => return Err(StorageError::Read(read_error_text(&path, &error))),
        };
        Ok(Self { path, data: Mutex::new(data) })
    }

    pub async fn svid(&self) -> Option<StoredSvid> {
        let data = self.data.lock().await;
        (!data.svid.is_empty())
            .then(|| StoredSvid { chain: data.svid.clone(), reattestable: data.reattestable })
    }

    /// The X.509 authorities of the agent's own trust domain.
    pub async fn bundle(&self) -> Option<Vec<Certificate>> {
        let data = self.data.lock().await;
        (!data.bundle.is_empty()).then(|| data.bundle.clone())
    }

    pub async fn bootstrap_state(&self) -> BootstrapState {
        self.data.lock().await.bootstrap
    }

    pub async fn store_svid(&self, chain: &[Certificate], reattestable: bool) -> Result<(), StorageError> {
        self.change(|data| {
            data.svid = chain.to_vec();
            data.reattestable = reattestable;
        })
        .await
    }

    pub async fn delete_svid(&self) -> Result<(), StorageError> {
        self.change(|data| {
            data.svid.clear();
            data.reattestable = false;
        })
        .await
    }

    /// An empty bundle is none.
    pub async fn store_bundle(&self, bundle: &[Certificate]) -> Result<(), StorageError> {
        self.change(|data| data.bundle = bundle.to_vec()).await
    }

    pub async fn store_bootstrap_state(&self, state: BootstrapState) -> Result<(), StorageError> {
        self.change(|data| data.bootstrap = state).await
    }

    async fn change(&self, change: impl FnOnce(&mut Data)) -> Result<(), StorageError> {
        let mut data = self.data.lock().await;
        let mut next = data.clone();
        change(&mut next);
        let bytes = next.to_json().map_err(|error| StorageError::Write(error.to_string()))?;
        let written = atomic_file::write_async(self.path.clone(), bytes, 0o600).await;
        written.map_err(|error| StorageError::Write(spire_runtime::Chain(&error).to_string()))?;
        *data = next;
        Ok(())
    }
}

impl Data {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: Value = serde_json::from_slice(bytes).map_err(|error| json_error(bytes, &error))?;
        let disk: Option<OnDisk> = match document {
            Value::Array(_) => Err(of_members("json: cannot unmarshal array")),
            document => serde_json::from_value(document).map_err(|e| of_members(json_error(bytes, &e))),
        }?;
        let disk = disk.unwrap_or_default();
        let started = match disk.bootstrap_start_time.as_deref() {
            None | Some(NEVER) => None,
            Some(text) => {
                let time = OffsetDateTime::parse(text, &Rfc3339);
                Some(time.map_err(|error| of_members(format!("parsing time {text:?}: {error}")))?)
            }
        };
        let purpose = match disk.bootstrap_use {
            Some(1) => Purpose::Bootstrap,
            Some(2) => Purpose::Rebootstrap,
            _ => Purpose::Unset,
        };
        Ok(Self {
            svid: certificates(disk.svid, "SVID")?,
            bundle: certificates(disk.bundle, "bundle")?,
            reattestable: disk.reattestable.unwrap_or_default(),
            bootstrap: BootstrapState {
                purpose,
                started,
                attempts: disk.connection_attempts.unwrap_or_default(),
            },
        })
    }

    fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let started = self.bootstrap.started.and_then(|time| time.format(&Rfc3339).ok());
        serde_json::to_vec(&OnDisk {
            svid: encoded(&self.svid),
            bundle: encoded(&self.bundle),
            reattestable: Some(self.reattestable),
            bootstrap_use: Some(match self.bootstrap.purpose {
                Purpose::Unset => 0,
                Purpose::Bootstrap => 1,
                Purpose::Rebootstrap => 2,
            }),
            bootstrap_start_time: Some(started.unwrap_or_else(|| NEVER.to_owned())),
            connection_attempts: Some(self.bootstrap.attempts),
        })
    }
}

/// Upstream says twice what failed if it is not the document as such but what is in it.
fn of_members(reason: impl fmt::Display) -> String {
    format!("failed to unmarshal data: {reason}")
}

/// Each item is the base64 of the PEM text of one certificate (AG-243).
fn certificates(items: Option<Vec<String>>, what: &str) -> Result<Vec<Certificate>, String> {
    let mut all = Vec::new();
    for item in items.unwrap_or_default() {
        let text = BASE64_STANDARD.decode(&item).map_err(|error| of_members(base64_error(&item, &error)))?;
        let parsed = pem::parse_certificates(&text);
        all.extend(parsed.map_err(|error| format!("failed to parse {what}: {error}"))?);
    }
    Ok(all)
}

fn encoded(certificates: &[Certificate]) -> Option<Vec<String>> {
    let encode = |certificate: &Certificate| {
        BASE64_STANDARD.encode(pem::encode_certificate(certificate.der()).as_bytes())
    };
    (!certificates.is_empty()).then(|| certificates.iter().map(encode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;

    #[tokio::test]
    async fn an_empty_file_reads_as_spire_writes_it() {
        // AG-242, AG-243: SPIRE must be able to take over the data dir.
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path()).unwrap();
        storage.store_bootstrap_state(BootstrapState::default()).await.unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(
            text,
            "{\"svid\":null,\"bundle\":null,\"reattestable\":false,\"bootstrap_use\":0,\
             \"bootstrap_start_time\":\"0001-01-01T00:00:00Z\",\"connection_attempts\":0}"
        );
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_is_stored_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::new("example.org").await;
        let (chain, _) = ca.issue("spiffe://example.org/spire/agent/x509pop/1", 3600).await;
        let storage = Storage::open(dir.path()).unwrap();
        storage.store_svid(&chain, true).await.unwrap();
        storage.store_bundle(std::slice::from_ref(&ca.certificate)).await.unwrap();
        let started = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let state = BootstrapState { purpose: Purpose::Rebootstrap, started: Some(started), attempts: 3 };
        storage.store_bootstrap_state(state).await.unwrap();

        let again = Storage::open(dir.path()).unwrap();
        assert_eq!(again.svid().await, Some(StoredSvid { chain, reattestable: true }));
        assert_eq!(again.bundle().await, Some(vec![ca.certificate.clone()]));
        assert_eq!(again.bootstrap_state().await, state);
        again.delete_svid().await.unwrap();
        assert_eq!(Storage::open(dir.path()).unwrap().svid().await, None);
    }

    #[test]
    fn a_corrupt_file_is_refused_and_left_alone() {
        // AG-203: the operator decides whether an identity is thrown away.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for (text, reason) in [
            ("", "unexpected end of JSON input"),
            ("{}x", "invalid character 'x' after top-level value"),
            ("[]", "failed to unmarshal data: json: "),
            ("{\"svid\":5}", "failed to unmarshal data: json: "),
            ("{\"svid\":[\"!\"]}", "failed to unmarshal data: illegal base64 data at input byte 0"),
            ("{\"bundle\":[\"AAAA\"]}", "failed to parse bundle: no PEM blocks"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Storage::open(dir.path()).unwrap_err().to_string();
            let expected = format!("failed to open storage: failed to unmarshal data: {reason}");
            assert!(error.starts_with(&expected), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn members_that_older_versions_did_not_write_are_zero() {
        let data = Data::parse(b"{\"svid\":null,\"reattestable\":true}").unwrap();
        assert_eq!(data.bootstrap, BootstrapState::default());
        assert!(data.reattestable && data.bundle.is_empty());
        for empty in ["{}", "null", "{\"reattestable\":null,\"bootstrap_use\":null}"] {
            assert_eq!(Data::parse(empty.as_bytes()).unwrap().bootstrap, BootstrapState::default());
        }
    }
}
