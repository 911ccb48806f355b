//! Contracts of the agent's plugins.

mod node_attestor;
mod workload_attestor;

pub use node_attestor::{Conversation, NodeAttestor};
pub use workload_attestor::{PinnedProcess, WorkloadAttestor};
