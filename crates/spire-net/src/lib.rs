//! Getting an authenticated channel: TLS policy, SPIFFE mTLS, local sockets with pinned peers, gRPC channels.
//!
//! Everything here ends in a byte stream whose other side is known: a process for [`local`], a SPIFFE ID for [`tls`].
//! Servers take such streams from [`local::LocalListener`] and [`incoming::tls_incoming`], answer them with
//! [`serve::serve`] and find out who is calling through request extensions; clients get a [`tonic::transport::Channel`] from [`channel`].

pub mod channel;
pub mod grpc_status;
pub mod incoming;
pub mod local;
pub mod serve;
pub mod tls;

pub use grpc_status::{code_name, rpc_error_text};
