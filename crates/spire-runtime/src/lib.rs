//! What any long-running process needs: clock, randomness, supervisor, shutdown, backoff, health, logs, metrics.
//!
//! Nothing here is process-global except the log subscriber ([`logging::init`]); everything else is passed in, so a
//! server and an agent may live in one process and tests run in virtual time (A7, A8).

mod backoff;
pub mod build_info;
mod chain;
mod clock;
mod random;
mod reconcile;
mod shutdown;
mod supervisor;

pub mod atomic_file;
pub mod folders;
pub mod health;
pub mod logging;
pub mod proc_file;
pub mod signals;
pub mod umask;

pub use backoff::{Backoff, BackoffOptions, SizeLimitedBackoff};
pub use chain::Chain;
pub use clock::{BoxFuture, Clock, ManualClock, SharedClock, SystemClock};
pub use random::{FixedRandom, Random, SharedRandom, SystemRandom, jittered};
pub use reconcile::{Nudge, every};
pub use shutdown::Shutdown;
pub use supervisor::{Cause, Stage, Supervisor, TaskFailed};
