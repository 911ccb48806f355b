//! The daemon that runs containers, asked over its HTTP API (PL-070, PL-071, PL-085).

mod address;
mod error;
mod session;
mod version;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

pub use address::Address;
pub use error::DaemonError;
pub use session::Session;
pub use version::ApiVersion;

/// Where a daemon is, and how to talk to it. Connects when it is asked something.
#[derive(Debug)]
pub struct Daemon {
    address: Address,
    /// Set from the beginning, or by the first answer to a ping.
    version: OnceLock<ApiVersion>,
}

impl Daemon {
    /// Without a version the daemon is asked for its own.
    pub fn new(address: Address, version: Option<ApiVersion>) -> Self {
        Self { address, version: version.map(OnceLock::from).unwrap_or_default() }
    }

    /// A connection for a few questions, opened by the first.
    pub fn session(&self) -> Session<'_> {
        Session::new(self)
    }
}

/// How a container was started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Container {
    pub labels: Option<BTreeMap<String, String>>,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// The name that was given, with its tag or digest.
    pub image: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerAnswer {
    config: Option<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageAnswer {
    id: Option<String>,
}

#[cfg(test)]
pub mod fake;
#[cfg(test)]
mod tests;
