//! Plugins that need no cloud account.

pub mod agent;
pub mod key_manager;
pub mod server;
mod shared;
