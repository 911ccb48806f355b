use spire_config::{DecodeError, Fields, Object};
use spire_plugin::PluginError;

/// Reads settings, or says that the data cannot be decoded.
pub fn decode<T>(
    data: &Object,
    read: impl FnOnce(&mut Fields<'_>) -> Result<T, DecodeError>,
) -> Result<T, PluginError> {
    read(&mut Fields::new(data))
        .map_err(|error| PluginError::invalid(format!("unable to decode configuration: {error}")))
}

/// The error of a build, as the one note of a validation.
pub fn note<T>(outcome: Result<T, PluginError>) -> Vec<String> {
    outcome.err().map(|error| error.message).into_iter().collect()
}
