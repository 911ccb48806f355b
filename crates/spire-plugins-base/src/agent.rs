//! Plugins of the agent.

mod join_token;
mod unix;
mod x509pop;

pub use join_token::JOIN_TOKEN;
pub use unix::UNIX;
pub use x509pop::X509POP;
