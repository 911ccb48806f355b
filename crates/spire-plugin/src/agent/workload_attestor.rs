use std::path::Path;

use async_trait::async_trait;

use crate::PluginError;

/// A process that is held, so that its id cannot come to mean another one
/// unnoticed: the host checks the pin again after attestation (AG-458).
#[derive(Debug, Clone, Copy)]
pub struct PinnedProcess<'a> {
    pub pid: i32,
    /// Its folder below `/proc`.
    pub proc_dir: &'a Path,
}

/// Says which facts hold for a local process.
#[async_trait]
pub trait WorkloadAttestor: Send + Sync + std::fmt::Debug {
    /// Selector values; their type is the plugin's name. An empty list means
    /// "nothing known about it" and is not an error.
    async fn attest(&self, process: PinnedProcess<'_>) -> Result<Vec<String>, PluginError>;
}
