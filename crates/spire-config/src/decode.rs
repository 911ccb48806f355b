//! Typed access to a block, with Go's coercions (SC-022 to SC-024).

use std::collections::BTreeSet;

use crate::hcl::{Item, Object, Position, Value};

/// A value that does not fit its key; printed `At line:column: …` (SC-003).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("At {position}: {message}")]
pub struct DecodeError {
    pub position: Position,
    pub message: String,
}

/// The keys of one section that nobody asked for (SC-180).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKeys {
    pub section: String,
    /// Sorted.
    pub keys: Vec<String>,
}

/// The fields of one block, or of several of the same name merged.
///
/// Every getter marks its key as known; what is left is unknown.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    items: Vec<Entry<'a>>,
    known: BTreeSet<String>,
}

/// An item whose first `skip` keys have been followed already.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    item: &'a Item,
    skip: usize,
}

impl<'a> Entry<'a> {
    fn key(&self) -> &'a str {
        &self.item.keys[self.skip].name
    }

    fn is_last_key(&self) -> bool {
        self.skip + 1 == self.item.keys.len()
    }
}

impl<'a> Fields<'a> {
    pub fn new(object: &'a Object) -> Self {
        let mut fields = Self::default();
        fields.add(object);
        fields
    }

    fn add(&mut self, object: &'a Object) {
        self.items.extend(object.items.iter().map(|item| Entry { item, skip: 0 }));
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn named(&mut self, name: &str) -> Vec<Entry<'a>> {
        self.known.insert(name.to_lowercase());
        self.items.iter().copied().filter(|entry| entry.key().eq_ignore_ascii_case(name)).collect()
    }

    /// Scalars: the last wins, but each has to fit.
    fn scalar<T>(
        &mut self,
        name: &str,
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, DecodeError> {
        let mut last = None;
        for entry in self.named(name) {
            let value = read(&entry.item.value).filter(|_| entry.is_last_key());
            last = Some(value.ok_or_else(|| wrong(&entry, name, wanted))?);
        }
        Ok(last)
    }

    /// Whether the key is written at all.
    pub fn has(&mut self, name: &str) -> bool {
        !self.named(name).is_empty()
    }

    /// A string or heredoc, or a number as it was written.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, DecodeError> {
        self.scalar(name, "string", |value| match value {
            Value::String(text, _) => Some(text.clone()),
            Value::Number(text, _) if !is_float(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A number, or a number in quotes; base prefixes count.
    pub fn int(&mut self, name: &str) -> Result<Option<i64>, DecodeError> {
        self.scalar(name, "int", |value| match value {
            Value::String(text, _) | Value::Number(text, _) => integer(text),
            _ => None,
        })
    }

    /// The bare words `true` and `false` only.
    pub fn bool(&mut self, name: &str) -> Result<Option<bool>, DecodeError> {
        self.scalar(name, "bool", |value| match value {
            Value::Bool(value, _) => Some(*value),
            _ => None,
        })
    }

    /// A string that is empty when it is not set: upstream tells the two apart for few keys only (SC-030).
    pub fn text(&mut self, name: &str) -> Result<String, DecodeError> {
        Ok(self.string(name)?.unwrap_or_default())
    }

    /// A number that is 0 when it is not set.
    pub fn number(&mut self, name: &str) -> Result<i64, DecodeError> {
        Ok(self.int(name)?.unwrap_or_default())
    }

    /// A switch that is off when it is not set.
    pub fn flag(&mut self, name: &str) -> Result<bool, DecodeError> {
        Ok(self.bool(name)?.unwrap_or_default())
    }

    /// Lists of strings; repeated lists are appended.
    pub fn strings(&mut self, name: &str) -> Result<Vec<String>, DecodeError> {
        let mut all = Vec::new();
        for entry in self.named(name) {
            let (Value::List(list, _), true) = (&entry.item.value, entry.is_last_key()) else {
                return Err(wrong(&entry, name, "list of strings"));
            };
            for value in list {
                match value {
                    Value::String(text, _) | Value::Number(text, _) => all.push(text.clone()),
                    other => {
                        let message = format!("{name}: expected a string in the list");
                        return Err(DecodeError { position: other.position(), message });
                    }
                }
            }
        }
        Ok(all)
    }

    /// A block; repeated blocks are merged field by field.
    pub fn block(&mut self, name: &str) -> Result<Option<Self>, DecodeError> {
        let entries = self.named(name);
        if entries.is_empty() {
            return Ok(None);
        }
        let mut fields = Self::default();
        for entry in entries {
            fields.follow(entry, name)?;
        }
        Ok(Some(fields))
    }

    /// Each block of this name by itself; a list of objects counts as several.
    pub fn blocks(&mut self, name: &str) -> Result<Vec<Self>, DecodeError> {
        let mut all = Vec::new();
        for entry in self.named(name) {
            if let (Value::List(list, _), true) = (&entry.item.value, entry.is_last_key()) {
                for value in list {
                    match value {
                        Value::Object(object, _) => all.push(Self::new(object)),
                        _ => return Err(wrong(&entry, name, "list of blocks")),
                    }
                }
                continue;
            }
            let mut fields = Self::default();
            fields.follow(entry, name)?;
            all.push(fields);
        }
        Ok(all)
    }

    fn follow(&mut self, entry: Entry<'a>, name: &str) -> Result<(), DecodeError> {
        if !entry.is_last_key() {
            self.items.push(Entry { skip: entry.skip + 1, ..entry });
            return Ok(());
        }
        match &entry.item.value {
            Value::Object(object, _) => {
                self.add(object);
                Ok(())
            }
            _ => Err(wrong(&entry, name, "block")),
        }
    }

    /// Blocks with a label, `name "label" { … }` or nested; equal labels are
    /// merged, the order is that of the file.
    pub fn labelled(&mut self, name: &str) -> Result<Vec<(String, Self)>, DecodeError> {
        let Some(labels) = self.block(name)? else { return Ok(Vec::new()) };
        let mut all: Vec<(String, Self)> = Vec::new();
        for entry in &labels.items {
            let label = entry.key();
            let place = match all.iter().position(|(known, _)| known == label) {
                Some(place) => place,
                None => {
                    all.push((label.to_owned(), Self::default()));
                    all.len() - 1
                }
            };
            all[place].1.follow(*entry, label)?;
        }
        Ok(all)
    }

    /// What this block holds, as a document of its own.
    pub fn to_object(&self) -> Object {
        let items = self.items.iter().map(|entry| Item {
            keys: entry.item.keys[entry.skip..].to_vec(),
            value: entry.item.value.clone(),
        });
        Object { items: items.collect() }
    }

    /// The first block of this name alone, later ones are dropped: how `plugins` is read (SC-024).
    pub fn first_block(&mut self, name: &str) -> Result<Option<Object>, DecodeError> {
        let Some(first) = self.named(name).first().copied() else { return Ok(None) };
        let mut fields = Self::default();
        fields.follow(first, name)?;
        Ok(Some(fields.to_object()))
    }

    /// The raw value of a key; the last wins.
    pub fn value(&mut self, name: &str) -> Option<&'a Value> {
        self.named(name).pop().filter(Entry::is_last_key).map(|entry| &entry.item.value)
    }

    /// What nobody asked for.
    pub fn unknown(&self, section: &str) -> Option<UnknownKeys> {
        let mut keys: Vec<String> = self
            .items
            .iter()
            .filter(|entry| {
                entry.item.keys[entry.skip].bare && !self.known.contains(&entry.key().to_lowercase())
            })
            .map(|entry| entry.key().to_owned())
            .collect();
        keys.sort();
        keys.dedup();
        (!keys.is_empty()).then(|| UnknownKeys { section: section.to_owned(), keys })
    }
}

fn wrong(entry: &Entry<'_>, name: &str, wanted: &str) -> DecodeError {
    let found = match entry.item.value {
        Value::String(..) => "string",
        Value::Number(..) => "number",
        Value::Bool(..) => "bool",
        Value::List(..) => "list",
        Value::Object(..) => "block",
    };
    DecodeError {
        position: entry.item.value.position(),
        message: format!("{name}: expected a {wanted}, got a {found}"),
    }
}

/// Whether a number has a fraction or an exponent.
fn is_float(number: &str) -> bool {
    let digits = number.trim_start_matches('-');
    !digits.starts_with("0x") && !digits.starts_with("0X") && digits.contains(['.', 'e', 'E'])
}

/// Go's `strconv.ParseInt` with base 0.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let value = if let Some(hex) = lower.strip_prefix("0x") {
        i64::from_str_radix(hex, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        i64::from_str_radix(octal, 8)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        i64::from_str_radix(binary, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        i64::from_str_radix(&lower[1..], 8)
    } else {
        lower.parse()
    };
    value.ok().filter(|_| !digits.starts_with(['-', '+'])).map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn keys_match_in_any_case_and_the_last_scalar_wins() {
        // SC-022, SC-024
        let document = parse("Trust_Domain = \"a\"\ntrust_domain = \"b\"\nport = \"0x10\"").unwrap();
        let mut fields = Fields::new(&document);
        assert_eq!(fields.string("trust_domain").unwrap().as_deref(), Some("b"));
        assert_eq!(fields.int("port").unwrap(), Some(16));
        assert_eq!(fields.unknown("x"), None);
    }

    #[test]
    fn coercions_are_gos() {
        // SC-023
        let document = parse("s = 12\nb = \"true\"\nl = \"x\"\nf = 1.5\nr = true\nr = \"x\"").unwrap();
        let mut fields = Fields::new(&document);
        assert_eq!(fields.string("s").unwrap().as_deref(), Some("12"));
        assert!(fields.bool("b").is_err());
        assert_eq!(fields.string("r").unwrap_err().position.line, 5);
        assert!(fields.strings("l").is_err());
        assert!(fields.int("f").is_err());
    }

    #[test]
    fn labels_may_be_written_beside_or_inside() {
        // SC-021, SC-024, SC-025
        for text in [
            "f \"a\" { x = 1 }\nf \"b\" { y = 2 }\nf \"a\" { z = 3 }",
            "f { a { x = 1 } b { y = 2 } a { z = 3 } }",
            r#"{"f": [{"a": {"x": 1, "z": 3}}, {"b": {"y": 2}}]}"#,
        ] {
            let document = parse(text).unwrap();
            let labelled = Fields::new(&document).labelled("f").unwrap();
            let names: Vec<_> = labelled.iter().map(|(label, f)| (label.as_str(), f.items.len())).collect();
            assert_eq!(names, [("a", 2), ("b", 1)], "{text}");
        }
    }

    #[test]
    fn unknown_keys_are_sorted_and_quoted_ones_pass() {
        // SC-180, SC-183
        let document = parse("zz = 1\naa = 2\n\"qq\" = 3").unwrap();
        let fields = Fields::new(&document);
        assert_eq!(fields.unknown("server").unwrap().keys, ["aa", "zz"]);
    }
}
