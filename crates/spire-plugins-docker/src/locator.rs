//! Which container a process is in, told from the files that the kernel keeps about it (PL-030 to PL-047).
//!
//! `/proc/<pid>/cgroup` comes first: a process cannot forge it. Only if it names no container is
//! `/proc/<pid>/mountinfo` read, which a process can arrange by mounting things inside its own namespace.

mod cgroup;
mod container_id;
mod mountinfo;

use std::io;
use std::path::PathBuf;

use spire_plugin::{Code, PluginError};
use spire_runtime::logging::{go_quote, os_error_text};

use crate::log::plugin_log;
use crate::matchers::Matchers;
use mountinfo::Mount;

/// A container, and the cgroups of the process that was found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    pub container_id: String,
    /// Empty if the file is missing.
    pub cgroups: Vec<String>,
}

/// Looks into `/proc` below `root`.
#[derive(Debug)]
pub struct Locator {
    /// `/`, except in tests.
    pub root: PathBuf,
    /// Put every cgroup and mount into the log (PL-046).
    pub verbose: bool,
}

impl Locator {
    /// `None` if the process is in no container.
    ///
    /// # Errors
    ///
    /// The files contradict each other or cannot be read. A missing file is no error.
    pub fn locate(&self, pid: i32) -> Result<Option<Located>, PluginError> {
        let cgroups = match self.cgroups(pid) {
            Ok(cgroups) => cgroups,
            Err(error) if error.is_missing() => {
                let found = self.in_mounts(pid)?;
                if found.is_some() {
                    plugin_log!(
                        warn,
                        err = error.to_string(),
                        pid,
                        "Failed to read cgroups for Podman detection, falling back to Docker client"
                    );
                }
                return Ok(found.map(|container_id| Located { container_id, cgroups: Vec::new() }));
            }
            Err(error) => return Err(PluginError::internal(format!("unable to obtain cgroups: {error}"))),
        };
        let mut found = Found::default();
        for path in &cgroups {
            found.add(path).inspect_err(|Conflict { previous, current }| {
                plugin_log!(debug, cgroup_path = path, current, previous, "Workload container ID conflict");
            })?;
        }
        let container_id = match found.0 {
            Some(id) => Some(id),
            None => self.in_mounts(pid)?,
        };
        Ok(container_id.map(|container_id| Located { container_id, cgroups }))
    }

    /// The same by patterns of the operator, in cgroups alone (PL-081).
    pub fn locate_by(&self, matchers: &Matchers, pid: i32) -> Result<Option<Located>, PluginError> {
        let unknown = |text: String| PluginError::new(Code::Unknown, text);
        let cgroups = cgroup::read(&self.root, pid).map_err(|error: ReadError| unknown(error.to_string()))?;
        let id = matchers.container_id(&cgroups).map_err(|error| unknown(error.to_string()))?;
        Ok(id.map(|container_id| Located { container_id, cgroups }))
    }

    fn cgroups(&self, pid: i32) -> Result<Vec<String>, ReadError> {
        let cgroups = cgroup::read(&self.root, pid)?;
        if self.verbose {
            for (index, path) in cgroups.iter().enumerate() {
                plugin_log!(debug, index = index + 1, path, total = cgroups.len(), "PID cgroup enumerated");
            }
        }
        Ok(cgroups)
    }

    fn in_mounts(&self, pid: i32) -> Result<Option<String>, PluginError> {
        let path = self.root.join(format!("proc/{pid}/mountinfo"));
        let mounts = match mountinfo::read(&path) {
            Ok(mounts) => mounts,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => {
                let path = go_quote(&path.to_string_lossy());
                return Err(PluginError::internal(format!("failed to parse mount info at {path}: {error}")));
            }
        };
        if self.verbose {
            for (index, mount) in mounts.iter().enumerate() {
                let (root, kind, total) = (&mount.root, &mount.kind, mounts.len());
                plugin_log!(debug, index = index + 1, root, total, r#type = kind, "PID mount enumerated");
            }
        }
        let mut found = Found::default();
        for Mount { root, .. } in mounts.iter().filter(|mount| mount.tells_cgroup()) {
            found.add(root).inspect_err(|Conflict { previous, current }| {
                plugin_log!(
                    debug,
                    current,
                    mount_info_root = root,
                    previous,
                    "Workload container ID conflict"
                );
            })?;
        }
        Ok(found.0)
    }
}

/// A file below `/proc` that does not help.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("open {path}: {}", os_error_text(.error))]
    Open { path: String, error: io::Error },
    #[error("invalid cgroup entry, contains {fields} colon separated fields but expected at least 3: {}", go_quote(.line))]
    Cgroup { fields: usize, line: String },
    #[error("{problem} in mountinfo line: {line}")]
    Mount { problem: &'static str, line: String },
}

impl ReadError {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Open { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The one container that all paths name (PL-041).
///
/// A path that names none says nothing. SPIRE takes one that follows a path with an ID for a contradiction (PL-042,
/// PL-741), so that no container can be attested on a host that uses both versions of cgroups.
#[derive(Debug, Default)]
struct Found(Option<String>);

impl Found {
    fn add(&mut self, path: &str) -> Result<(), Conflict> {
        let Some(current) = container_id::last_in(path) else { return Ok(()) };
        match &self.0 {
            Some(previous) if previous != current => {
                Err(Conflict { previous: previous.clone(), current: current.to_owned() })
            }
            _ => {
                self.0 = Some(current.to_owned());
                Ok(())
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("multiple container IDs found ({}, {})", go_quote(.previous), go_quote(.current))]
struct Conflict {
    previous: String,
    current: String,
}

impl From<Conflict> for PluginError {
    fn from(conflict: Conflict) -> Self {
        Self::new(Code::FailedPrecondition, conflict.to_string())
    }
}

#[cfg(test)]
mod tests;
