//! Accepting TLS connections for a gRPC or HTTP server.
//!
//! One task accepts; each handshake runs in a task of its own, with a deadline, so that a slow client holds up nobody
//! (SA-206, SA-213). Only finished connections reach the server.

mod accept;
mod proxy_protocol;
mod stream;

pub use accept::{IncomingOptions, TlsIncoming, tls_incoming};
#[doc(hidden)]
pub use proxy_protocol::read_header;
pub use proxy_protocol::{BadCidr, ProxyError, TrustedNetworks};
pub use stream::{ConnectInfo, TlsStream};

#[cfg(test)]
mod tests;
