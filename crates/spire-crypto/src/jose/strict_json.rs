//! JSON as go-jose reads it: a name stands once in an object. Of two claims with one name, two readers of a token
//! could believe different ones.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry as JsonEntry;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::go_text::{json_error, json_syntax_error};

/// A value; the error is in the words of Go.
pub(crate) fn value(text: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(text) {
        Ok(Strict(value)) => Ok(value),
        Err(error) => Err(reason(text, &error)),
    }
}

/// A text; empty for `null`.
pub(crate) fn string(raw: &RawValue) -> Result<String, String> {
    match value(raw.get().as_bytes())? {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        _ => Err(mismatch(raw.get().as_bytes(), "string")),
    }
}

/// A list of texts; empty for `null`.
pub(crate) fn strings(raw: &RawValue) -> Result<Vec<String>, String> {
    match serde_json::from_str::<Option<Vec<&RawValue>>>(raw.get()) {
        Ok(items) => items.unwrap_or_default().into_iter().map(string).collect(),
        Err(_) => Err(mismatch(raw.get().as_bytes(), "[]string")),
    }
}

/// The members of an object, not read yet.
#[derive(Default)]
pub(crate) struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// None for `null`. `go_type` is what upstream reads the text into.
    pub(crate) fn read(text: &'a [u8], go_type: &str) -> Result<Self, String> {
        match serde_json::from_slice::<Option<Self>>(text) {
            Ok(members) => Ok(members.unwrap_or_default()),
            Err(error) if error.is_data() && !text.trim_ascii_start().starts_with(b"{") => {
                Err(json_syntax_error(text).unwrap_or_else(|| mismatch(text, go_type)))
            }
            Err(error) => Err(reason(text, &error)),
        }
    }

    /// Those that are not `null`, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().filter(|(_, raw)| raw.get() != "null").map(|(name, raw)| (name.as_str(), *raw))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|raw| raw.get() != "null")
    }

    /// A member that is a text; empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> Result<String, String> {
        self.get(name).map_or_else(|| Ok(String::new()), string)
    }
}

/// Go's error for a value of another type than the one wanted.
pub(crate) fn mismatch(text: &[u8], go_type: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {go_type}", kind(text))
}

/// What Go calls a value that is JSON.
pub(crate) fn kind(text: &[u8]) -> &'static str {
    match text.trim_ascii_start().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// Go looks for syntax errors in all of a text first. Of the others, ours is the one about names.
fn reason(text: &[u8], error: &serde_json::Error) -> String {
    if !error.is_data() {
        return json_error(text, error);
    }
    json_syntax_error(text).unwrap_or_else(|| {
        let reason = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        reason.strip_suffix(&place).unwrap_or(&reason).to_owned()
    })
}

fn duplicate<E: Error>(name: &str) -> E {
    E::custom(format_args!("json: duplicate key '{name}' in object"))
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    match members.entry(name) {
                        Entry::Vacant(place) => place.insert(map.next_value()?),
                        Entry::Occupied(known) => return Err(duplicate(known.key())),
                    };
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A value without doubles at any depth.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Strict, E> {
                Ok(Strict(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
                let mut items = Vec::new();
                while let Some(Strict(item)) = list.next_element()? {
                    items.push(item);
                }
                Ok(Strict(items.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut members = Map::new();
                while let Some(name) = map.next_key::<String>()? {
                    match members.entry(name) {
                        JsonEntry::Vacant(place) => place.insert(map.next_value::<Strict>()?.0),
                        JsonEntry::Occupied(known) => return Err(duplicate(known.key())),
                    };
                }
                Ok(Strict(members.into()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_in_an_object_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"[{"x":{"b":0,"\u0061":1,"a":2}}]"#] {
            assert_eq!(value(text.as_bytes()).unwrap_err(), "json: duplicate key 'a' in object");
        }
        assert!(value(br#"{"a":{"a":1},"A":[{"a":1},{"a":1}]}"#).is_ok(), "names of other objects, and case");
        let twice = Members::read(br#"{"a":1,"a":2}"#, "x").err();
        assert_eq!(twice.as_deref(), Some("json: duplicate key 'a' in object"));
        let broken = value(br#"{"a":1,"a":2"#).unwrap_err();
        assert_eq!(broken, "unexpected end of JSON input", "Go sees that first");
    }

    #[test]
    fn values_are_read_as_serde_json_reads_them() {
        let text = r#"{"a":[null,true,-1,1.5,18446744073709551615,"é\n"],"b":{}}"#;
        assert_eq!(value(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn other_types_are_named_as_go_names_them() {
        for (text, found) in [("[1]", "array"), (" \"x\"", "string"), ("-5", "number"), ("true", "bool")] {
            let error = Members::read(text.as_bytes(), "jose.rawHeader").err();
            let expected = format!("json: cannot unmarshal {found} into Go value of type jose.rawHeader");
            assert_eq!(error, Some(expected));
        }
        assert!(Members::read(b"null", "x").is_ok_and(|members| members.iter().next().is_none()));
        let members = Members::read(br#"{"n":5,"t":"x","nothing":null,"l":["a",null]}"#, "x").unwrap();
        assert_eq!((members.text("t").unwrap(), members.text("nothing").unwrap()), ("x".into(), "".into()));
        let number = "json: cannot unmarshal number into Go value of type string";
        assert_eq!(members.text("n"), Err(number.to_owned()));
        assert_eq!(strings(members.get("l").unwrap()).unwrap(), ["a", ""]);
    }
}
