//! What the agent offers on its two sockets.

mod call;
mod debug;
mod health;
mod logger;
mod rate_limit;
mod reflection;
mod unserved;
mod workload;

pub use debug::DebugApi;
pub use health::{HealthApi, probe};
pub use logger::LoggerApi;
pub use reflection::{ReflectionApi, Schema};
pub use unserved::{Unserved, Worded};
pub use workload::{Limits as WorkloadLimits, WorkloadApi, WorkloadService};
