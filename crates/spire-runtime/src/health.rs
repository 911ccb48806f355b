//! Health checks: a set of probes, a fixed cadence, and an HTTP listener that answers from the last results
//! (SC-150 to SC-157, AG-568 to AG-571).

mod checks;
mod http;

pub use checks::{AlreadyRegistered, Checks, Report, State};
pub use http::{HealthSettings, SamePath, serve};

#[cfg(test)]
mod tests;
