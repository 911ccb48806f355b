//! Plugins of the server.

mod join_token;
mod path_template;
mod x509pop;

pub use join_token::JOIN_TOKEN;
pub use x509pop::X509POP;
