//! The wire: generated messages of every gRPC package that the programs
//! speak, and the only conversions between messages and domain values.
//!
//! `gen/` is written by `cargo xtask codegen` from `proto/` and committed.

pub mod convert;
pub mod wire_error;

/// SPIFFE Workload API (no proto package).
#[allow(clippy::all, missing_debug_implementations, unused_qualifications)]
pub mod workload {
    include!("gen/workload/mod.rs");
}

/// The public SPIRE APIs.
#[allow(clippy::all, missing_debug_implementations, unused_qualifications)]
pub mod api {
    include!("gen/api/mod.rs");
}

/// SPIFFE Broker API.
#[allow(clippy::all, missing_debug_implementations, unused_qualifications)]
pub mod broker {
    include!("gen/broker/mod.rs");
}

/// Interfaces to external plugins.
#[allow(clippy::all, missing_debug_implementations, unused_qualifications)]
pub mod plugin {
    include!("gen/plugin/mod.rs");
}

/// Stored blobs: CA journal (no proto package) and `spire.common`.
#[allow(clippy::all, missing_debug_implementations, unused_qualifications)]
pub mod private {
    include!("gen/private/mod.rs");
}

/// Our own additions (architecture A1).
#[allow(clippy::all, missing_debug_implementations, unused_qualifications)]
pub mod spirers {
    include!("gen/spirers/mod.rs");
}

pub use api::spire::agent::debug as agent_debug;
pub use api::spire::api::agent;
pub use api::spire::api::server;
pub use api::spire::api::types;
pub use spirers::spirers::doorbell;

/// Encoded `FileDescriptorSet`s, imports included, for reflection and for
/// printing messages as JSON.
pub mod descriptors {
    pub const WORKLOAD: &[u8] = include_bytes!("gen/workload/descriptors.bin");
    pub const API: &[u8] = include_bytes!("gen/api/descriptors.bin");
    pub const BROKER: &[u8] = include_bytes!("gen/broker/descriptors.bin");
    pub const PRIVATE: &[u8] = include_bytes!("gen/private/descriptors.bin");
    pub const SPIRERS: &[u8] = include_bytes!("gen/spirers/descriptors.bin");
}

pub mod rpc_status;
