//! The agent engine: bootstrap, sync, SVID cache, Workload API.

mod api;
mod assemble;
mod attestation;
mod bootstrap;
mod cache;
mod duration;
mod error;
mod fault;
mod health;
mod identity;
mod link;
mod listeners;
mod settings;
mod startup;
mod storage;
mod sync;
#[cfg(any(test, feature = "bench"))]
#[allow(clippy::unwrap_used, reason = "for tests and benches only")]
mod testing;

pub use assemble::run;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub use cache::bench;
pub use error::AgentError;
pub use settings::{
    AgentSettings, BundleFormat, JoinToken, RateLimits, RebootstrapMode, ServerAddress, TrustBundleSource,
};
#[doc(hidden)]
pub use storage::Storage;
