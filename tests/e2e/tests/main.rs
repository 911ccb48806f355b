//! Whole-system scenarios over real sockets.
//!
//! Workloads are told apart by their user, so the tests run as root.

mod bad_input;
mod clients;
mod corruption;
mod crash;
mod docker;
mod malformed;
mod outage;
mod rotation;
mod server_api;
