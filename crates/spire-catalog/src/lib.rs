//! Turns plugin configuration into live trait objects, and tells before
//! anything runs what is wrong with it.

mod agent;
mod data;
mod error;
mod known;
mod live;
mod loader;
mod reconfigure;
mod server;

pub use agent::{AgentBuiltIns, AgentPlugins};
pub use error::CatalogError;
pub use live::Live;
pub use reconfigure::Reconfigurer;
pub use server::{ServerBuiltIns, ServerPlugins};

/// Problems by plugin, `KeyManager "disk"`, or by type, `KeyManager` (SC-405).
pub type Notes = Vec<(String, Vec<String>)>;
