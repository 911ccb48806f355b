//! What this build says of itself.

/// The SPIRE version whose behaviour this build follows: what `--version`, `agent_version` and `code_version` say.
pub const VERSION: &str = "1.15.3";

/// The version of this code itself, for messages that are ours alone.
pub const PACKAGE_VERSION: &str = env!("CARGO_PKG_VERSION");
