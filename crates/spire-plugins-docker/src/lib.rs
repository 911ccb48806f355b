//! The workload attestor `docker`: what the daemon of Docker or Podman says about the container of a process
//! (PL-070 to PL-095).

mod attestor;
mod daemon;
mod locator;
mod log;
mod matchers;
mod podman;
mod settings;

pub use attestor::DOCKER;
