//! Where things lie: one folder for configuration, database, keys, sockets and log.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spire_runtime::{atomic_file, folders};

/// The longest path that fits into the address of a Unix socket.
const SOCKET_PATH_MAX: usize = 107;

/// A folder of a development cluster.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// Removes the folder with the last copy.
    _temporary: Option<Arc<tempfile::TempDir>>,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot make the folder {path}: {reason}; choose another with -dir")]
    Make { path: String, reason: String },
    #[error("cannot write {path}: {reason}")]
    Write { path: String, reason: String },
    #[error(
        "{path} is {length} bytes long, but sockets allow {SOCKET_PATH_MAX}; choose a shorter folder with -dir"
    )]
    TooLong { path: String, length: usize },
}

impl Folder {
    /// A folder that stays; made when the cluster starts.
    pub fn at(path: PathBuf) -> Self {
        Self { path, _temporary: None }
    }

    /// A new folder that goes away with this value and its copies.
    pub fn ephemeral() -> Result<Self, FolderError> {
        // Workloads of other users pass through.
        let mode = std::fs::Permissions::from_mode(0o755);
        let made = tempfile::Builder::new().prefix("spire-dev-").permissions(mode).tempdir();
        let folder = made.map_err(|error| FolderError::Make {
            path: std::env::temp_dir().display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(Self { path: folder.path().to_owned(), _temporary: Some(Arc::new(folder)) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_ephemeral(&self) -> bool {
        self._temporary.is_some()
    }

    pub fn server_conf(&self) -> PathBuf {
        self.path.join("server.conf")
    }

    pub fn agent_conf(&self) -> PathBuf {
        self.path.join("agent.conf")
    }

    /// Of server and agent.
    pub fn log_file(&self) -> PathBuf {
        self.path.join("spire.log")
    }

    pub fn server_data(&self) -> PathBuf {
        self.path.join("server")
    }

    pub fn agent_data(&self) -> PathBuf {
        self.path.join("agent")
    }

    pub fn database(&self) -> PathBuf {
        self.server_data().join("datastore.sqlite3")
    }

    pub fn server_socket(&self) -> PathBuf {
        self.path.join("private/server.sock")
    }

    /// The Workload API.
    pub fn workload_socket(&self) -> PathBuf {
        self.path.join("public/api.sock")
    }

    pub fn admin_socket(&self) -> PathBuf {
        self.path.join("private/admin.sock")
    }

    pub fn node_key(&self) -> PathBuf {
        self.path.join("node.key")
    }

    pub fn node_certificate(&self) -> PathBuf {
        self.path.join("node.crt")
    }

    /// The server's bundle, by which the agent knows the server.
    pub fn bundle(&self) -> PathBuf {
        self.path.join("bundle.pem")
    }

    /// Makes the folders that neither server nor agent makes.
    pub(crate) fn make(&self) -> Result<(), FolderError> {
        for socket in [self.server_socket(), self.workload_socket(), self.admin_socket()] {
            let length = socket.as_os_str().len();
            if length > SOCKET_PATH_MAX {
                return Err(FolderError::TooLong { path: socket.display().to_string(), length });
            }
        }
        // A workload may run as another user, so others pass through; what is secret is 0600.
        for path in [self.path.clone(), self.server_data(), self.path.join("public")] {
            folders::make(&path, 0o755)
                .map_err(|reason| FolderError::Make { path: path.display().to_string(), reason })?;
        }
        Ok(())
    }

    pub(crate) fn write(&self, path: &Path, text: &str, mode: u32) -> Result<(), FolderError> {
        atomic_file::write(path, text.as_bytes(), mode).map_err(|error| FolderError::Write {
            path: path.display().to_string(),
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_too_deep_for_sockets_is_refused_before_anything_is_made() {
        let folder = Folder::at(PathBuf::from(format!("/tmp/{}", "d".repeat(100))));
        let error = folder.make().unwrap_err().to_string();
        assert!(error.contains("choose a shorter folder with -dir"), "{error}");
        assert!(!folder.path().exists());
    }

    #[test]
    fn an_ephemeral_folder_goes_with_its_last_copy() {
        let folder = Folder::ephemeral().unwrap();
        let (copy, path) = (folder.clone(), folder.path().to_owned());
        drop(folder);
        assert!(path.exists());
        drop(copy);
        assert!(!path.exists());
    }
}
