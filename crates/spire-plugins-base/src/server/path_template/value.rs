use std::collections::BTreeMap;
use std::fmt;

/// What expressions are made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Record(Record),
}

/// A value of named fields, as Go's structs are.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Go's name of its type, for errors.
    pub kind: &'static str,
    /// How it prints, if it is something that prints.
    pub text: Option<String>,
    pub fields: Vec<(&'static str, Value)>,
}

impl Value {
    pub fn texts<T: AsRef<str>>(items: &[T]) -> Self {
        Self::List(items.iter().map(|item| Self::from(item.as_ref())).collect())
    }

    /// Go's name of the type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Text(_) => "string",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Record(record) => record.kind,
        }
    }

    /// Whether `if` takes the first branch.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Text(value) => !value.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Record(_) => true,
        }
    }

    /// `.name`; an absent key is an error (NA-290).
    pub fn field(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Map(entries) => {
                entries.get(name).cloned().ok_or_else(|| format!("map has no entry for key {name:?}"))
            }
            Self::Record(record) => {
                let field = record.fields.iter().find(|(field, _)| *field == name);
                let printed = || record.text.clone().filter(|_| name == "String").map(Self::Text);
                field
                    .map(|(_, value)| value.clone())
                    .or_else(printed)
                    .ok_or_else(|| format!("can't evaluate field {name} in type {}", record.kind))
            }
            Self::Nil => Err(format!("nil data; no entry for key {name:?}")),
            other => Err(format!("can't evaluate field {name} in type {}", other.kind())),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// As Go prints with `%v`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("<nil>"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("map[")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if index == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            Self::Record(record) => match &record.text {
                Some(text) => f.write_str(text),
                None => write!(f, "{{{}}}", record.kind),
            },
        }
    }
}
