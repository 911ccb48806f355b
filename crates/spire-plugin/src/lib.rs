//! The plugin contracts: what a plugin author reads (architecture A3).
//!
//! A plugin is built from its configuration, so there is no "not configured
//! yet"; no trait names a transport, so a plugin is tested by calling it.

pub mod agent;
mod builtin;
pub mod contract;
mod error;
mod key_manager;
pub mod server;

pub use builtin::{BuiltIn, PluginContext};
pub use error::{Code, PluginError};
pub use key_manager::{KeyManager, ManagedKey};
