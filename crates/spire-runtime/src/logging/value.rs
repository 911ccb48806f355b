use std::error::Error;
use std::fmt;

use time::OffsetDateTime;

use super::go_text;

/// The value of a log field, with the type it has in JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum LogValue {
    Text(String),
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
    /// Printed in the local time zone (SC-525).
    Time(OffsetDateTime),
    List(Vec<LogValue>),
    /// A Go struct: an object in JSON.
    Object(Vec<(&'static str, LogValue)>),
    /// One way in text, another in JSON, as Go's named numbers have it.
    Shown {
        text: String,
        json: Box<LogValue>,
    },
    /// Shown as `<nil>` in text and `null` in JSON.
    Nil,
}

impl LogValue {
    pub fn list<T: Into<LogValue>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// A value that is shown as `text`, but is `json` where types count.
    pub fn shown(text: impl Into<String>, json: impl Into<LogValue>) -> Self {
        Self::Shown { text: text.into(), json: Box::new(json.into()) }
    }

    /// Passes the value through a `tracing` macro without losing its type:
    /// `info!(admin_ids = LogValue::list(ids).as_value(), "Configured")`.
    pub fn as_value(&self) -> &(dyn Error + 'static) {
        self
    }
}

/// As Go's `fmt.Sprint` prints it.
impl fmt::Display for LogValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Uint(number) => write!(f, "{number}"),
            Self::Float(number) => f.write_str(&go_text::float(*number)),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Time(time) => f.write_str(&go_text::time(*time)),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    write!(f, "{space}{item}")?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (_, value)) in members.iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    write!(f, "{space}{value}")?;
                }
                f.write_str("}")
            }
            Self::Shown { text, .. } => f.write_str(text),
            Self::Nil => f.write_str("<nil>"),
        }
    }
}

// Only errors can be recognised behind a `tracing` value, hence this one on something that is none.
impl Error for LogValue {}

impl From<&str> for LogValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for LogValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for LogValue {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<bool> for LogValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for LogValue {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for LogValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for LogValue {
    fn from(number: u32) -> Self {
        Self::Uint(number.into())
    }
}

impl From<u64> for LogValue {
    fn from(number: u64) -> Self {
        Self::Uint(number)
    }
}

impl From<usize> for LogValue {
    fn from(number: usize) -> Self {
        Self::Uint(number as u64)
    }
}

impl From<f64> for LogValue {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<OffsetDateTime> for LogValue {
    fn from(time: OffsetDateTime) -> Self {
        Self::Time(time)
    }
}

impl<T: Into<LogValue>> From<Vec<T>> for LogValue {
    fn from(items: Vec<T>) -> Self {
        Self::list(items)
    }
}

impl<T: Into<LogValue>> From<Option<T>> for LogValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}
