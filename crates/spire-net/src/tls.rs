//! TLS in which names are SPIFFE IDs: host names are never checked, certificates are verified as X509-SVIDs against
//! the bundle of their trust domain, and both identity and bundles are looked up anew at every handshake.

mod client;
mod failure;
mod identity;
mod policy;
mod server;
mod signatures;

pub use client::{ClientTls, ClientTlsStream, HandshakeError, ServerCheck};
pub use identity::{BundleSource, CertifiedKey, IdentityCell, IdentityError, IdentitySource, certified_key};
pub use policy::TlsPolicy;
pub use server::{Authorizer, ClientAuth, Connection, ServerTls, ServerTlsOptions, VerifiedPeer};

#[cfg(test)]
pub(crate) mod tests;
