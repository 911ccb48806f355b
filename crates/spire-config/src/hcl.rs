//! The document as it was written.

mod json;
mod lexer;
mod parser;
mod print;

use std::fmt;

pub(crate) use print::quoted;

/// Where something stands in a file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a text is not a document; printed as upstream prints it (SC-003).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("At {0}: {1}")]
    Hcl(Position, String),
    #[error("{0}: {1}")]
    Json(Position, String),
    /// JSON whose words stand in the wrong order; upstream does not say where.
    #[error("{0}")]
    JsonOrder(String),
}

/// One name of an item: `plugins`, or the label in `KeyManager "disk"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    /// Written as an identifier, or a member name of JSON: an unknown one is
    /// reported. Upstream misses quoted ones (SC-183).
    pub bare: bool,
    pub position: Position,
}

/// `key = value`, `key { … }` or `key "label" { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub keys: Vec<Key>,
    pub value: Value,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    String(String, Position),
    /// As it was written.
    Number(String, Position),
    Bool(bool, Position),
    List(Vec<Value>, Position),
    Object(Object, Position),
}

impl Value {
    pub fn position(&self) -> Position {
        match self {
            Self::String(_, at)
            | Self::Number(_, at)
            | Self::Bool(_, at)
            | Self::List(_, at)
            | Self::Object(_, at) => *at,
        }
    }
}

/// The items between two braces, or of a whole document, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    pub items: Vec<Item>,
}

/// Deeper nesting than any configuration has; bounds recursion on bad input. Threads with stacks of 2 MiB bear it.
const MAX_DEPTH: usize = 250;

/// Whether a number has a fraction or an exponent.
pub(crate) fn is_float(number: &str) -> bool {
    let digits = number.trim_start_matches('-');
    !digits.starts_with("0x") && !digits.starts_with("0X") && digits.contains(['.', 'e', 'E'])
}

/// Reads a document; JSON is told by its first character (SC-005).
pub fn parse(text: &str) -> Result<Object, ParseError> {
    if text.trim_start().starts_with('{') {
        return json::parse(text);
    }
    parser::parse(text)
}

impl Object {
    /// The same content as HCL text (SC-135).
    pub fn to_hcl(&self) -> String {
        print::object(self)
    }
}

#[cfg(test)]
mod tests;
