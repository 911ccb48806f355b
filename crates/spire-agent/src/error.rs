use spire_catalog::CatalogError;
use spire_net::local::BindError;
use spire_runtime::{Chain, TaskFailed};

/// Why an agent did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("failed to create data directory {path:?}: {reason}")]
    DataDir { path: String, reason: String },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("{}", Chain(.0))]
    Socket(#[source] BindError),
    #[error(transparent)]
    Task(#[from] TaskFailed),
}
