//! JSON that users write, read as Go reads it: names in any case, unknown names passed over, `null` as not given
//! (SC-248, SC-254, SC-313).

use serde_json::{Map, Value};

/// Reads one JSON value.
pub(super) fn parse(data: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(data).map_err(|error| {
        if error.is_eof() {
            return "unexpected end of JSON input".to_owned();
        }
        let text = error.to_string();
        let line = data.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        match String::from_utf8_lossy(line).chars().nth(error.column().saturating_sub(1)) {
            Some(character) => format!("invalid character {character:?}: {text}"),
            None => format!("invalid JSON: {text}"),
        }
    })
}

/// An object that is being read, and how to call it in errors.
pub(super) struct Fields<'a> {
    members: Option<&'a Map<String, Value>>,
    name: &'static str,
}

impl<'a> Fields<'a> {
    /// `null` is an object without members.
    pub(super) fn of(value: &'a Value, name: &'static str) -> Result<Self, String> {
        match value {
            Value::Object(members) => Ok(Self { members: Some(members), name }),
            Value::Null => Ok(Self { members: None, name }),
            other => Err(format!("json: cannot unmarshal {} into Go value of type {name}", kind(other))),
        }
    }

    /// The member as it is, `null` included.
    pub(super) fn raw(&self, field: &str) -> Option<&'a Value> {
        let members = self.members?;
        members.get(field).or_else(|| {
            members.iter().find(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, value)| value)
        })
    }

    fn value(&self, field: &str) -> Option<&'a Value> {
        self.raw(field).filter(|value| !value.is_null())
    }

    fn wrong(&self, field: &str, value: &Value, wanted: &str) -> String {
        let found = match value {
            Value::Number(number) if !wanted.starts_with(['[', 's', 'b']) => format!("number {number}"),
            other => kind(other).to_owned(),
        };
        format!("json: cannot unmarshal {found} into Go struct field {}.{field} of type {wanted}", self.name)
    }

    fn read<T: Default>(
        &self,
        field: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, String> {
        match self.value(field) {
            None => Ok(T::default()),
            Some(value) => read(value).ok_or_else(|| self.wrong(field, value, wanted)),
        }
    }

    pub(super) fn text(&self, field: &str) -> Result<String, String> {
        self.read(field, "string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn int32(&self, field: &str) -> Result<i32, String> {
        self.read(field, "int32", |value| value.as_i64().and_then(|number| i32::try_from(number).ok()))
    }

    pub(super) fn int64(&self, field: &str) -> Result<i64, String> {
        self.read(field, "int64", Value::as_i64)
    }

    pub(super) fn boolean(&self, field: &str) -> Result<bool, String> {
        self.read(field, "bool", Value::as_bool)
    }

    /// The items of a list.
    pub(super) fn items(&self, field: &str, of: &str) -> Result<&'a [Value], String> {
        self.read(field, of, |value| value.as_array().map(Vec::as_slice))
    }

    pub(super) fn texts(&self, field: &str) -> Result<Vec<String>, String> {
        let text = |value: &Value| match value {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            other => Err(self.wrong(field, other, "string")),
        };
        self.items(field, "[]string")?.iter().map(text).collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_count_in_any_case_and_null_is_not_given() {
        // SC-248
        let value = json!({"Entry_ID": "x", "hint": null, "DNS_names": ["a", null]});
        let fields = Fields::of(&value, "Entry").unwrap();
        assert_eq!(fields.text("entry_id").unwrap(), "x");
        assert_eq!(fields.text("hint").unwrap(), "");
        assert_eq!(fields.texts("dns_names").unwrap(), ["a", ""]);
        assert_eq!(fields.int32("nothing").unwrap(), 0);
    }

    #[test]
    fn values_of_other_types_are_refused() {
        // SC-249
        let value = json!({"id": 5, "ttl": "60", "far": 2_147_483_648_i64, "half": 1.5, "list": "x"});
        let fields = Fields::of(&value, "Entry").unwrap();
        for (error, expected) in [
            (fields.text("id").unwrap_err(), "number into Go struct field Entry.id of type string"),
            (fields.int32("ttl").unwrap_err(), "string into Go struct field Entry.ttl of type int32"),
            (
                fields.int32("far").unwrap_err(),
                "number 2147483648 into Go struct field Entry.far of type int32",
            ),
            (fields.int64("half").unwrap_err(), "number 1.5 into Go struct field Entry.half of type int64"),
            (fields.texts("list").unwrap_err(), "string into Go struct field Entry.list of type []string"),
        ] {
            assert_eq!(error, format!("json: cannot unmarshal {expected}"));
        }
        assert!(Fields::of(&json!([]), "Entries").is_err());
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_place() {
        // SC-249
        assert_eq!(parse(b"{\"a\":").unwrap_err(), "unexpected end of JSON input");
        assert!(parse(b"{} xyz").unwrap_err().starts_with("invalid character 'x'"));
        assert!(parse(b"entries:\n- a").unwrap_err().starts_with("invalid character"));
    }
}
