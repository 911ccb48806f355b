//! Lines whose fields are only known at run time.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::panic::Location;

use tracing::{Level, Metadata};

use super::level::LogLevel;
use super::record::Field;
use super::value::LogValue;

/// `tracing` has no level above error; these targets stand for the two that logrus has.
const FATAL: &str = "spire_emit_fatal";
const PANIC: &str = "spire_emit_panic";

/// The level of a line, which is the level of its event but for the two that `tracing` does not know.
pub(super) fn level_of(metadata: &Metadata<'_>) -> LogLevel {
    match metadata.target() {
        FATAL => LogLevel::Fatal,
        PANIC => LogLevel::Panic,
        _ => LogLevel::of(*metadata.level()),
    }
}

/// Whether a line of this level would be written; to spare the work of preparing costly fields.
pub fn enabled(level: LogLevel) -> bool {
    match level {
        LogLevel::Panic => tracing::enabled!(target: PANIC, Level::ERROR),
        LogLevel::Fatal => tracing::enabled!(target: FATAL, Level::ERROR),
        LogLevel::Error => tracing::enabled!(Level::ERROR),
        LogLevel::Warn => tracing::enabled!(Level::WARN),
        LogLevel::Info => tracing::enabled!(Level::INFO),
        LogLevel::Debug => tracing::enabled!(Level::DEBUG),
        LogLevel::Trace => tracing::enabled!(Level::TRACE),
    }
}

/// Writes a line with a dynamic set of fields, such as an audit line. Fields of the current span are added.
///
/// With level `Fatal` or `Panic` the line is only written: ending the program is the caller's business.
#[track_caller]
pub fn emit(level: LogLevel, message: &str, fields: &[(&str, LogValue)]) {
    if !enabled(level) {
        return;
    }
    let location = Location::caller();
    let fields = fields.iter().map(|(name, value)| (Cow::Owned((*name).to_owned()), value.clone())).collect();
    let emitted = Emitted { fields, location };
    let carrier: &(dyn Error + 'static) = &emitted;
    match level {
        LogLevel::Panic => tracing::error!(target: PANIC, fields = carrier, "{message}"),
        LogLevel::Fatal => tracing::error!(target: FATAL, fields = carrier, "{message}"),
        LogLevel::Error => tracing::error!(fields = carrier, "{message}"),
        LogLevel::Warn => tracing::warn!(fields = carrier, "{message}"),
        LogLevel::Info => tracing::info!(fields = carrier, "{message}"),
        LogLevel::Debug => tracing::debug!(fields = carrier, "{message}"),
        LogLevel::Trace => tracing::trace!(fields = carrier, "{message}"),
    }
}

/// Carries the fields through `tracing`, which lets only errors be recognised on the other side.
#[derive(Debug)]
pub(super) struct Emitted {
    pub fields: Vec<Field>,
    pub location: &'static Location<'static>,
}

impl fmt::Display for Emitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.fields {
            write!(f, "{name}={value} ")?;
        }
        Ok(())
    }
}

impl Error for Emitted {}

/// `crates/spire-server/src/api/audit.rs` is the module `spire_server::api::audit`.
pub(super) fn module_of(file: &str) -> String {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let Some((package, module)) = path.rsplit_once("/src/").or_else(|| path.rsplit_once("/tests/")) else {
        return path.to_owned();
    };
    let package = package.rsplit('/').next().unwrap_or(package).replace('-', "_");
    match module {
        "lib" | "main" => package,
        module => format!("{package}::{}", module.replace('/', "::")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_its_module() {
        assert_eq!(module_of("crates/spire-server/src/api/audit.rs"), "spire_server::api::audit");
        assert_eq!(module_of("bin/spire-agent/src/main.rs"), "spire_agent");
    }
}
