//! The signing core: slots, journal, rotation, templates, signing. No gRPC,
//! no sockets; small enough to audit.
//!
//! [`Authority`] signs with what is active; readers never wait. The
//! [`AuthorityManager`] decides what is active and is its only writer.

mod journal;
mod manager;
mod settings;
mod sign;
mod slot;
mod validate;

pub use manager::{AuthorityManager, ControlError, RotateError};
pub use settings::CredentialSettings;
pub use sign::{Authority, IssueError, JwtSvidParams, WorkloadSvidParams};
pub use slot::{AuthorityState, SlotView};
