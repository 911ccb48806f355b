//! Go's rules for what a value is stored in. Names count in any case, and of several spellings of a member the last one;
//! names that are not known are passed over; `null` is as good as nothing. Errors name the types of SPIRE's Go source,
//! as its users know them.

use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a value can be stored in.
pub(in crate::command) trait Target {
    /// As Go prints the type.
    fn type_name(&self) -> String;

    /// Stores the value, or notes in `reading` why it cannot. What is stored already stays where the value says nothing
    /// about it.
    fn store(&mut self, value: &RawValue, reading: &mut Reading);
}

/// What an object can be stored in.
pub(in crate::command) trait Struct {
    const PACKAGE: &'static str;
    const NAME: &'static str;

    fn members(&mut self) -> Vec<Member<'_>>;
}

/// A member's name and what its value is stored in.
pub(in crate::command) struct Member<'a>(
    pub(in crate::command) &'static str,
    pub(in crate::command) &'a mut dyn Target,
);

/// Where in the document the reader is, and what was wrong first; it reads on to the end as Go does.
#[derive(Default)]
pub(in crate::command) struct Reading {
    structure: &'static str,
    path: Vec<&'static str>,
    wrong: Option<String>,
}

impl Reading {
    fn within(&mut self, structure: &'static str, field: &'static str, read: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.structure, structure);
        self.path.push(field);
        read(self);
        self.path.pop();
        self.structure = outer;
    }

    fn refuse(&mut self, found: &str, target: &dyn Target) {
        if self.wrong.is_some() {
            return;
        }
        let place = match &self.path[..] {
            [] => "Go value".to_owned(),
            path => format!("Go struct field {}.{}", self.structure, path.join(".")),
        };
        self.wrong =
            Some(format!("json: cannot unmarshal {found} into {place} of type {}", target.type_name()));
    }

    pub(super) fn outcome(self) -> Result<(), String> {
        self.wrong.map_or(Ok(()), Err)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// The first character tells.
    fn of(value: &RawValue) -> Self {
        match value.get().as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::String,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            _ => Self::Number,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

impl Target for String {
    fn type_name(&self) -> String {
        "string".to_owned()
    }

    fn store(&mut self, value: &RawValue, reading: &mut Reading) {
        match Kind::of(value) {
            Kind::Null => {}
            Kind::String => *self = unquoted(value),
            kind => reading.refuse(kind.name(), self),
        }
    }
}

impl Target for bool {
    fn type_name(&self) -> String {
        "bool".to_owned()
    }

    fn store(&mut self, value: &RawValue, reading: &mut Reading) {
        match Kind::of(value) {
            Kind::Null => {}
            Kind::Bool => *self = value.get() == "true",
            kind => reading.refuse(kind.name(), self),
        }
    }
}

macro_rules! whole_number {
    ($number:ty, $name:literal) => {
        impl Target for $number {
            fn type_name(&self) -> String {
                $name.to_owned()
            }

            fn store(&mut self, value: &RawValue, reading: &mut Reading) {
                match (Kind::of(value), value.get().parse()) {
                    (Kind::Null, _) => {}
                    (Kind::Number, Ok(number)) => *self = number,
                    (Kind::Number, Err(_)) => reading.refuse(&format!("number {}", value.get()), self),
                    (kind, _) => reading.refuse(kind.name(), self),
                }
            }
        }
    };
}

whole_number!(i32, "int32");
whole_number!(i64, "int64");

/// Go's pointer, whose errors are about what it points to.
impl<T: Target + Default> Target for Option<T> {
    fn type_name(&self) -> String {
        format!("*{}", T::default().type_name())
    }

    fn store(&mut self, value: &RawValue, reading: &mut Reading) {
        match Kind::of(value) {
            Kind::Null => *self = None,
            _ => self.get_or_insert_with(T::default).store(value, reading),
        }
    }
}

impl<T: Target + Default> Target for Vec<T> {
    fn type_name(&self) -> String {
        format!("[]{}", T::default().type_name())
    }

    fn store(&mut self, value: &RawValue, reading: &mut Reading) {
        match Kind::of(value) {
            Kind::Null => self.clear(),
            Kind::Array => {
                let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
                self.resize_with(items.len(), T::default);
                for (target, item) in self.iter_mut().zip(items) {
                    target.store(item, reading);
                }
            }
            kind => reading.refuse(kind.name(), self),
        }
    }
}

impl<T: Struct> Target for T {
    fn type_name(&self) -> String {
        format!("{}.{}", T::PACKAGE, T::NAME)
    }

    fn store(&mut self, value: &RawValue, reading: &mut Reading) {
        match Kind::of(value) {
            Kind::Null => {}
            Kind::Object => {
                let mut known = self.members();
                for (name, value) in members(value) {
                    let name = unquoted(name);
                    if let Some(Member(field, target)) = known.iter_mut().find(|member| same(member.0, &name))
                    {
                        reading.within(T::NAME, field, |reading| target.store(value, reading));
                    }
                }
            }
            kind => reading.refuse(kind.name(), self),
        }
    }
}

/// In any case; two letters beyond ASCII count as the ones they are variants of.
fn same(field: &str, name: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    field.chars().map(fold).eq(name.chars().map(fold))
}

/// The members of an object in the order in which they are written.
fn members(object: &RawValue) -> Vec<(&RawValue, &RawValue)> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(&'de RawValue, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(object.get());
    reader.deserialize_map(Members).unwrap_or_default()
}

/// A string without its quotes and escapes.
fn unquoted(string: &RawValue) -> String {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        /// Half of a surrogate pair comes as three bytes that are no UTF-8, the first of which is always this one.
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            let mut text = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                if chunk.invalid().first() == Some(&0xed) {
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
            Ok(text)
        }
    }

    serde_json::Deserializer::from_str(string.get()).deserialize_bytes(Text).unwrap_or_default()
}
