//! Looking at log lines in tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::layer::{LogLayer, Writer};
use super::level::LogLevel;
use super::record::Record;

/// One line that was logged; values as they print in the text layout, unquoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    pub level: LogLevel,
    pub message: String,
    pub fields: BTreeMap<String, String>,
}

impl Captured {
    /// The value of a field, or an empty text.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// Collects every line of the current thread, of all levels, until dropped.
///
/// Tests on the default single-threaded tokio runtime stay on one thread and are seen completely.
#[must_use = "lines are collected while this lives"]
pub struct Capture {
    lines: Lines,
    _guard: DefaultGuard,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Capture").field(&self.lines()).finish()
    }
}

/// Starts collecting.
pub fn capture() -> Capture {
    let lines = Lines::default();
    let subscriber = Registry::default().with(LogLayer::new(lines.clone()));
    Capture { lines, _guard: tracing::subscriber::set_default(subscriber) }
}

impl Capture {
    /// All lines so far.
    pub fn lines(&self) -> Vec<Captured> {
        self.lines.0.lock().clone()
    }

    /// All lines so far, which are forgotten.
    pub fn take(&self) -> Vec<Captured> {
        std::mem::take(&mut *self.lines.0.lock())
    }

    /// The messages of all lines so far.
    pub fn messages(&self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.message).collect()
    }

    /// The first line with this message.
    pub fn find(&self, message: &str) -> Option<Captured> {
        self.lines().into_iter().find(|line| line.message == message)
    }
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<Captured>>>);

impl Writer for Lines {
    fn level(&self) -> LogLevel {
        LogLevel::Trace
    }

    fn source_location(&self) -> bool {
        false
    }

    fn write(&self, record: Record) {
        let fields =
            record.fields.into_iter().map(|(name, value)| (name.into_owned(), value.to_string())).collect();
        self.0.lock().push(Captured { level: record.level, message: record.message, fields });
    }
}
