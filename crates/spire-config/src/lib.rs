//! SPIRE's configuration language: HCL version 1 and its JSON form, with
//! positions, Go's coercions, durations and environment expansion.

mod decode;
pub mod duration;
pub mod env_expansion;
pub mod feature_flags;
mod file;
mod hcl;
mod number;
pub mod path;
mod plugins;
mod telemetry;

pub use decode::{DecodeError, Fields, UnknownKeys};
pub use file::{FileError, Lookup, read_file};
pub use hcl::{Item, Key, Object, ParseError, Position, Value, parse};
pub use number::{IntError, parse_int};
pub use plugins::{PluginConfig, PluginConfigError, PluginData, plugins};
pub use telemetry::telemetry_sinks;
