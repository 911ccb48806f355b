//! SPIRE's configuration language: HCL version 1 and its JSON form, with
//! positions, Go's coercions, durations and environment expansion.

mod decode;
pub mod duration;
pub mod env_expansion;
mod file;
mod hcl;
mod plugins;

pub use decode::{DecodeError, Fields, UnknownKeys};
pub use file::{FileError, read_file};
pub use hcl::{Item, Key, Object, ParseError, Position, Value, parse};
pub use plugins::{PluginConfig, PluginConfigError, PluginData, plugins};
