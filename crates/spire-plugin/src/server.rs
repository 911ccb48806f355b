//! Contracts of the server's plugins.

mod node_attestor;

pub use node_attestor::{AgentAttributes, Conversation, NodeAttestor};
