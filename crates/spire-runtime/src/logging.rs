//! Log lines exactly as SPIRE writes them, so that scripts and log pipelines keep working (SC-520 to SC-525).
//!
//! Components use the macros of `tracing`; the names of the fields become the names in the line, and the fields of the
//! enclosing spans are added:
//!
//! ```
//! tracing::info!(subsystem_name = "endpoints", address = "127.0.0.1:8081", network = "tcp", "Starting Server APIs");
//! ```
//!
//! Numbers and booleans keep their type in JSON. Times and lists do too when passed as [`LogValue::as_value`]. For sets
//! of fields that are only known at run time, such as audit lines, there is [`emit`].
//!
//! Lines of libraries (hyper, h2, rustls) are dropped, as upstream has no such lines.

mod capture;
mod emit;
mod go_text;
mod json;
mod layer;
mod level;
mod output;
mod record;
mod text;
mod value;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

pub use capture::{Capture, Captured, capture};
pub use emit::{emit, enabled};
pub use go_text::{os_error as os_error_text, quote as go_quote, read_error as read_error_text};
pub use level::{LogLevel, UnknownLevel};
pub use value::LogValue;

use layer::{LogLayer, Sink};

/// The shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `log_format` was not set: text, time in whole seconds (SC-522).
    #[default]
    Default,
    /// Text, time with nanoseconds.
    Text,
    /// One JSON object per line, time with nanoseconds.
    Json,
}

/// `log_format` is none of the known ones (SC-068).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown logger format: {}", go_quote(.0))]
pub struct UnknownFormat(pub String);

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().as_str() {
            "" => Ok(Self::Default),
            "TEXT" => Ok(Self::Text),
            "JSON" => Ok(Self::Json),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

/// Where lines go when there is no log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogStream {
    #[default]
    Stdout,
    Stderr,
    /// Nowhere, as `validate` wants it (SC-403).
    Discard,
}

/// What the operator asked for.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    pub level: LogLevel,
    pub format: LogFormat,
    /// Appended to, created with mode 0640 (SC-066).
    pub file: Option<PathBuf>,
    /// Adds the fields `file` and `func` to every line (SC-069).
    pub source_location: bool,
    pub stream: LogStream,
}

/// The logger could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The text is what SPIRE prints for it (SC-066).
    #[error("open {path}: {}", go_text::os_error(.source))]
    Open { path: PathBuf, source: std::io::Error },
    #[error("unable to reopen {path}: open {path}: {}", go_text::os_error(.source))]
    Reopen { path: PathBuf, source: std::io::Error },
    #[error("another log subscriber was installed first")]
    Foreign,
}

static INSTALLED: OnceLock<LogHandle> = OnceLock::new();

/// Installs the logger of the process.
///
/// A second call, as when server and agent run in one process, replaces the settings of the first: there is one
/// output. All handles ever returned act on it.
pub fn init(options: LogOptions) -> Result<LogHandle, LogError> {
    if let Some(handle) = INSTALLED.get() {
        handle.sink.configure(&options)?;
        return Ok(handle.clone());
    }
    let sink = Arc::new(Sink::new(&options)?);
    let subscriber = Registry::default().with(LogLayer::new(sink.clone()));
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        // Either a race of two first calls, or somebody else's subscriber.
        let handle = INSTALLED.get().ok_or(LogError::Foreign)?;
        handle.sink.configure(&options)?;
        return Ok(handle.clone());
    }
    Ok(INSTALLED.get_or_init(|| LogHandle { sink }).clone())
}

/// Makes the log file if it is not there, as [`init`] does. SPIRE has it before it looks at level and format (SC-066).
pub fn create_file(path: &Path) -> Result<(), LogError> {
    let made = output::append(path).map(drop);
    made.map_err(|source| LogError::Open { path: path.to_owned(), source })
}

/// Changes the running logger.
#[derive(Debug, Clone)]
pub struct LogHandle {
    sink: Arc<Sink>,
}

impl LogHandle {
    pub fn level(&self) -> LogLevel {
        self.sink.level()
    }

    /// The level of the configuration; what [`reset_level`](Self::reset_level) returns to.
    pub fn launch_level(&self) -> LogLevel {
        self.sink.launch_level()
    }

    pub fn set_level(&self, level: LogLevel) {
        self.sink.set_level(level);
    }

    pub fn reset_level(&self) {
        self.sink.set_level(self.sink.launch_level());
    }

    /// Whether there is a file to [`reopen`](Self::reopen).
    pub fn has_file(&self) -> bool {
        self.sink.has_file()
    }

    /// Opens the log file anew after it was moved away. On failure lines go on to the old one.
    pub fn reopen(&self) -> Result<(), LogError> {
        self.sink.reopen()
    }

    /// Reopens the log file at each SIGUSR2 until `shutdown` (SC-513). Run it only if there is a file.
    pub async fn reopen_on_signal(self, shutdown: crate::Shutdown) -> std::io::Result<()> {
        let mut signal = crate::signals::reopen_log()?;
        while shutdown.unless_cancelled(signal.recv()).await.is_some() {
            if let Err(error) = self.reopen() {
                tracing::error!(error = %error, "failed to rotate log after signal");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
