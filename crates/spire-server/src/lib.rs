//! The server engine: APIs, access, entry index, assembly.
