//! The built program, from outside; and the fuzz targets, of which none is nearer to all crates.
#![allow(clippy::unwrap_used, clippy::panic)]

mod documents;
mod fuzzed;
mod up;
