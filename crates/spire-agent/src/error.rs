use spire_catalog::CatalogError;
use spire_net::channel::BadTarget;
use spire_net::tls::IdentityError;
use spire_runtime::TaskFailed;

use crate::fault::Fault;
use crate::storage::StorageError;

/// Why an agent did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Server(#[from] Fault),
    #[error(transparent)]
    Address(#[from] BadTarget),
    #[error("the agent's SVID cannot be used: {0}")]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Start(String),
    #[error(transparent)]
    Task(#[from] TaskFailed),
}
