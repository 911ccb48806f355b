//! The server engine: APIs, access, entry index, assembly.

pub mod access;
mod agents;
mod api;
mod assemble;
mod bundles;
mod core;
pub mod entries;
mod health;
mod listeners;
mod server_svid;
mod settings;
mod status;

pub use assemble::{ServerError, run};
pub use settings::{PruneAgents, ServerSettings};
