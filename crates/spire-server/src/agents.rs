//! Nodes: who they are, how they come and how they go.

mod attestation;
mod directory;
mod prune;
mod renewal;

pub use attestation::attest;
pub use directory::AgentDirectory;
pub use prune::prune_when_due;
pub use renewal::renew;
