//! Starts the real binaries with the files that they want, and the foreign
//! clients that drive them. Everything is a process; nothing is mocked.

mod agent;
mod clients;
mod docker;
mod program;
mod server;

pub use agent::{Agent, AgentOptions};
pub use clients::{go_tool, python_workload};
pub use docker::Docker;
pub use program::{Output, Program, binary, free_port, run, wait_until};
pub use server::{Server, ServerOptions};

pub const TRUST_DOMAIN: &str = "e2e.test";
