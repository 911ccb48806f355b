//! Keeps what the agent holds in step with the server: pull on a timer, earlier when the doorbell rings.

mod bundles;
mod doorbell;
mod entries;
mod loops;
mod signing;
mod status;
mod synchronizer;
mod tokens;

pub use doorbell::listen;
pub use loops::{Tasks, forget_svid};
pub use synchronizer::{Parts, Synchronizer, SynchronizerSettings};
