//! The command line as SPIRE's users know it: Go's flags, the usage texts and
//! exit codes of its framework, pretty and JSON output.

mod app;
mod flags;
pub mod go_text;
mod json;
mod local_zone;
mod output;
pub mod socket;

pub use app::{App, Command, Context, Env, ErrorStyle, Failure, Outcome};
pub use flags::{FlagError, FlagSet};
pub use json::{Messages, escape_html, plain_json, sorted_json};
pub use local_zone::LocalZone;
pub use output::Format;
