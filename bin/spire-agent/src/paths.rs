//! File names in the spelling that upstream gives them: lexical, without a look at the disk.

pub(crate) use spire_config::path::clean;

/// The same from the root of the disk on.
pub(crate) fn absolute(path: &str) -> Result<String, String> {
    spire_config::path::absolute(path)
        .map_err(|error| format!("getwd: {}", spire_runtime::logging::os_error_text(&error)))
}
