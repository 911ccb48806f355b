//! Answers as JSON (AG-160).

use serde_json::Value;
use spire_cli::{Messages, plain_json};
use spire_proto::descriptors;

/// The answers of the commands, by the descriptors that came with the program.
pub(super) fn messages() -> Result<Messages, String> {
    Messages::new(&[descriptors::WORKLOAD, descriptors::API])
}

/// One message as a line of JSON.
pub(super) fn line(name: &str, message: &impl prost::Message) -> Result<String, String> {
    Ok(line_of(&messages()?.to_value(name, message)?))
}

pub(super) fn line_of(value: &Value) -> String {
    let mut line = plain_json(value);
    line.push('\n');
    line
}
