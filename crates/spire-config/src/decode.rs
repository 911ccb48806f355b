//! Typed access to a block, with Go's coercions (SC-022 to SC-024).

use std::collections::BTreeSet;

use crate::hcl::{Item, Object, Position, Value, is_float};
use crate::number;

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
    /// Of its block; upstream looks for unknown keys more closely there.
    first: bool,
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
        let entries = object.items.iter().enumerate();
        self.items.extend(entries.map(|(place, item)| Entry { item, skip: 0, first: place == 0 }));
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
            Value::String(text, _) | Value::Number(text, _) => number::parse_int(text).ok(),
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

    /// Lists of strings; repeated lists are appended. An empty block is an empty list.
    pub fn strings(&mut self, name: &str) -> Result<Vec<String>, DecodeError> {
        let mut all = Vec::new();
        for entry in self.named(name) {
            let list = match &entry.item.value {
                Value::List(list, _) if entry.is_last_key() => &list[..],
                Value::Object(object, _) if entry.is_last_key() && object.items.is_empty() => &[],
                _ => return Err(wrong(&entry, name, "list of strings")),
            };
            for value in list {
                match value {
                    Value::String(text, _) => all.push(text.clone()),
                    Value::Number(text, _) if !is_float(text) => all.push(text.clone()),
                    other => {
                        let message = format!("{name}: expected a string in the list");
                        return Err(DecodeError { position: other.position(), message });
                    }
                }
            }
        }
        Ok(all)
    }

    /// A block; repeated blocks are merged field by field. Items with a further key are one block together.
    pub fn block(&mut self, name: &str) -> Result<Option<Self>, DecodeError> {
        let (nested, plain) = self.nested_and_plain(name);
        if nested.is_empty() && plain.is_empty() {
            return Ok(None);
        }
        Self::merged(nested.into_iter().chain(plain), name).map(Some)
    }

    /// The items of this name with a further key, and those without.
    fn nested_and_plain(&mut self, name: &str) -> (Vec<Entry<'a>>, Vec<Entry<'a>>) {
        self.named(name).into_iter().partition(|entry| !entry.is_last_key())
    }

    fn merged(entries: impl IntoIterator<Item = Entry<'a>>, name: &str) -> Result<Self, DecodeError> {
        let mut fields = Self::default();
        for entry in entries {
            fields.follow(entry, name)?;
        }
        Ok(fields)
    }

    /// The elements of a list of blocks. Of a block by itself each item is one, as in upstream.
    pub fn blocks(&mut self, name: &str) -> Result<Vec<Self>, DecodeError> {
        let mut all = Vec::new();
        for entry in self.named(name) {
            match &entry.item.value {
                _ if !entry.is_last_key() => all.push(Self::element(entry, name)?),
                Value::List(list, _) => {
                    for value in list {
                        match value {
                            Value::Object(object, _) => all.push(Self::new(object)),
                            _ => return Err(wrong(&entry, name, "list of blocks")),
                        }
                    }
                }
                Value::Object(object, _) => {
                    for item in &object.items {
                        all.push(Self::element(Entry { item, skip: 0, first: true }, name)?);
                    }
                }
                _ => return Err(wrong(&entry, name, "list of blocks")),
            }
        }
        Ok(all)
    }

    /// What a block holds, or the one key that a value was written for.
    fn element(entry: Entry<'a>, name: &str) -> Result<Self, DecodeError> {
        match &entry.item.value {
            Value::Object(object, _) => Ok(Self::new(object)),
            Value::List(..) => Err(wrong(&entry, name, "list of blocks")),
            _ => Ok(Self { items: vec![entry], ..Self::default() }),
        }
    }

    fn follow(&mut self, entry: Entry<'a>, name: &str) -> Result<(), DecodeError> {
        if !entry.is_last_key() {
            let first = self.items.is_empty();
            self.items.push(Entry { skip: entry.skip + 1, first, ..entry });
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

    /// Of repeated blocks the first alone, later ones are dropped: how upstream reads what it looks into later, such as
    /// `plugins` (SC-024).
    pub fn first_block(&mut self, name: &str) -> Result<Option<Object>, DecodeError> {
        Ok(self.first(name)?.map(|fields| fields.to_object()))
    }

    /// The labelled blocks in the first block of this name, each by itself.
    pub fn first_labelled(&mut self, name: &str) -> Result<Vec<(String, Self)>, DecodeError> {
        let Some(labels) = self.first(name)? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for entry in &labels.items {
            all.push((entry.key().to_owned(), Self::merged([*entry], entry.key())?));
        }
        Ok(all)
    }

    fn first(&mut self, name: &str) -> Result<Option<Self>, DecodeError> {
        let kept = self.kept(name)?;
        if kept.is_empty() {
            return Ok(None);
        }
        Self::merged(kept, name).map(Some)
    }

    /// The raw value of a key; the first counts.
    pub fn value(&mut self, name: &str) -> Result<Option<&'a Value>, DecodeError> {
        Ok(match self.kept(name)?[..] {
            [entry] if entry.is_last_key() => Some(&entry.item.value),
            _ => None,
        })
    }

    /// The items with a further key, or else the first of the others. Blocks may follow, other values may not.
    fn kept(&mut self, name: &str) -> Result<Vec<Entry<'a>>, DecodeError> {
        let (mut kept, mut dropped) = self.nested_and_plain(name);
        if kept.is_empty() {
            kept = dropped.drain(..dropped.len().min(1)).collect();
        }
        match dropped.iter().find(|entry| !matches!(entry.item.value, Value::Object(..))) {
            Some(entry) => Err(DecodeError {
                position: entry.item.value.position(),
                message: format!("{name}: set more than once"),
            }),
            None => Ok(kept),
        }
    }

    /// What nobody asked for. As in upstream a key with a label passes, unless it stands first: there even the label
    /// has to be known, which upstream does not mean.
    pub fn unknown(&self, section: &str) -> Option<UnknownKeys> {
        let mut keys: Vec<String> = Vec::new();
        for entry in &self.items {
            let rest = &entry.item.keys[entry.skip..];
            if entry.first || rest.len() == 1 {
                let unknown = rest.iter().filter(|key| key.bare && !self.knows(&key.name));
                keys.extend(unknown.map(|key| key.name.clone()));
            }
        }
        keys.sort();
        keys.dedup();
        (!keys.is_empty()).then(|| UnknownKeys { section: section.to_owned(), keys })
    }

    /// Whether somebody asked for the key and it is there.
    fn knows(&self, name: &str) -> bool {
        self.known.contains(&name.to_lowercase())
            && self.items.iter().any(|entry| entry.key().eq_ignore_ascii_case(name))
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

    #[test]
    fn unknown_blocks_with_a_label_pass_unless_they_stand_first() {
        // Files with such leftovers start under SPIRE 1.15.3, so they have to start here.
        for (text, unknown) in [
            ("a = 1\nnosuch \"x\" {}\nother y {}", &[][..]),
            (r#"{"a": 1, "nosuch": {"x": {"y": 1}}, "other": {"x": {}}}"#, &[]),
            ("nosuch \"x\" {}\na = 1", &["nosuch"]),
            ("nosuch x {}\na = 1", &["nosuch", "x"]),
            ("a x {}", &["x"]),
            ("a a {}", &[]),
            (r#"{"a": {"x": {}}}"#, &["x"]),
            (r#"{"b": 1, "nosuch": {"x": 1}}"#, &["b", "nosuch"]),
        ] {
            let document = parse(text).unwrap();
            let mut fields = Fields::new(&document);
            fields.has("a");
            let found = fields.unknown("s").map(|unknown| unknown.keys).unwrap_or_default();
            assert_eq!(found, unknown, "{text}");
        }
    }

    #[test]
    fn of_a_block_that_is_read_later_the_first_counts() {
        // SC-024
        let document =
            parse("p { a = 1 }\np { b = 2 }\nq \"x\" {}\nq { y {} }\nq z {}\nr = 1\nr {}\ns {}\ns = 1");
        let document = document.unwrap();
        let mut fields = Fields::new(&document);
        assert_eq!(fields.first_block("p").unwrap().unwrap().to_hcl(), "a = 1");
        let labels: Vec<_> =
            fields.first_labelled("q").unwrap().into_iter().map(|(label, _)| label).collect();
        assert_eq!(labels, ["x", "z"]);
        assert!(matches!(fields.value("r").unwrap(), Some(Value::Number(..))));
        assert_eq!(fields.value("s").unwrap_err().to_string(), "At 9:5: s: set more than once");
    }

    #[test]
    fn lists_are_read_as_upstream_reads_them() {
        // SC-023
        let document = parse("a {}\nb = [1.5]\nc = [1, \"x\"]\nd \"x\" {}\ne { f = 1 }").unwrap();
        let mut fields = Fields::new(&document);
        assert!(fields.strings("a").unwrap().is_empty());
        assert_eq!(fields.strings("c").unwrap(), ["1", "x"]);
        for name in ["b", "d", "e"] {
            assert!(fields.strings(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_block_in_the_place_of_a_list_is_cut_into_its_items() {
        let document = parse("l { id = \"a\" types { url = \"b\" } }\nl = [{ id = \"c\" }]").unwrap();
        let mut elements = Fields::new(&document).blocks("l").unwrap();
        assert_eq!(elements.len(), 3);
        assert_eq!(elements[0].text("id").unwrap(), "a");
        assert_eq!(elements[1].unknown("l[1]").unwrap().keys, ["url"]);
        assert_eq!(elements[2].text("id").unwrap(), "c");
    }
}
