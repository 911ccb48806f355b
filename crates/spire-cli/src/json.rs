//! JSON as the commands print it (SC-227, SC-229, AG-160).

use std::io::{self, Write};

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Value};

/// Turns messages into JSON by their descriptors.
#[derive(Debug, Clone)]
pub struct Messages {
    pool: DescriptorPool,
}

impl Messages {
    /// `sets` are encoded file descriptor sets.
    ///
    /// # Errors
    /// A set is damaged; they are part of the program.
    pub fn new(sets: &[&[u8]]) -> Result<Self, String> {
        let mut pool = DescriptorPool::new();
        for set in sets {
            pool.decode_file_descriptor_set(*set).map_err(|error| error.to_string())?;
        }
        Ok(Self { pool })
    }

    /// Names as in the proto, defaults included, 64-bit numbers as text,
    /// nothing null, members sorted.
    pub fn to_value(&self, name: &str, message: &impl prost::Message) -> Result<Value, String> {
        let descriptor =
            self.pool.get_message_by_name(name).ok_or_else(|| format!("unknown message {name}"))?;
        let dynamic = DynamicMessage::decode(descriptor, &message.encode_to_vec()[..])
            .map_err(|error| error.to_string())?;
        let options = SerializeOptions::new()
            .skip_default_fields(false)
            .use_proto_field_name(true)
            .stringify_64_bit_integers(true);
        let mut value = dynamic
            .serialize_with_options(serde_json::value::Serializer, &options)
            .map_err(|error| error.to_string())?;
        drop_nulls(&mut value);
        Ok(value)
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

/// One line, members sorted, `<`, `>` and `&` escaped.
pub fn plain_json(value: &Value) -> String {
    escape_html(&sorted_json(value))
}

/// One line, members sorted, numbers as Go writes them.
pub fn sorted_json(value: &Value) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, GoNumbers);
    // A tree of values in memory has nothing that could fail.
    let _ = sorted(value).serialize(&mut serializer);
    String::from_utf8(out).unwrap_or_default()
}

/// Floating-point numbers without needless `.0` and exponents: times in claims are such numbers (AG-178).
struct GoNumbers;

impl Formatter for GoNumbers {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{value:e}");
            let text = if size >= 1.0 { text.replacen('e', "e+", 1) } else { text };
            return writer.write_all(text.as_bytes());
        }
        write!(writer, "{value}")
    }
}

/// serde_json keeps members sorted unless a crate of the tree asks it to keep their order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            let ordered: Map<String, Value> =
                names.into_iter().map(|name| (name.clone(), sorted(&members[name]))).collect();
            Value::Object(ordered)
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// As Go's encoder does; these never stand outside strings.
pub fn escape_html(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_as_in_go() {
        // AG-178
        let value = json!({"b": [1_764_000_000.0, 1.5, -0.25, 0.0], "a": [1e21, 1e-7, 0.00001, 7, "x<y"]});
        assert_eq!(
            plain_json(&value),
            r#"{"a":[1e+21,1e-7,0.00001,7,"x\u003cy"],"b":[1764000000,1.5,-0.25,0]}"#
        );
    }
}
