//! The agent engine: bootstrap, sync, SVID cache, Workload API.

mod assemble;
mod error;
mod settings;

pub use assemble::run;
pub use error::AgentError;
pub use settings::{
    AgentSettings, BundleFormat, JoinToken, RateLimits, RebootstrapMode, ServerAddress, TrustBundleSource,
};
