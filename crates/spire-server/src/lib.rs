//! The server engine: APIs, access, entry index, assembly.

pub mod entries;
