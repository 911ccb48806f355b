//! Reads the configuration file of a program (SC-001 to SC-005, SC-010).

use std::io::ErrorKind;
use std::path::Path;

use crate::hcl::{Object, parse};
use crate::{DecodeError, env_expansion};

/// Why there is no configuration; upstream's words.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("could not find config file {0}: please use the -config flag")]
    Missing(String),
    #[error("could not determine CWD; config file not found at {0}: use -config")]
    MissingAnywhere(String),
    #[error("unable to read configuration at {path:?}: {reason}")]
    Read { path: String, reason: String },
    #[error("unable to decode configuration at {path:?}: {reason}")]
    Decode { path: String, reason: String },
}

impl FileError {
    /// A value in the file does not fit its key.
    pub fn decode(path: &str, error: &DecodeError) -> Self {
        Self::Decode { path: path.to_owned(), reason: error.to_string() }
    }
}

/// Finds an environment variable.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads a file; with `expand`, after `$NAME` was replaced everywhere in its text.
pub fn read_file(path: &str, expand: Option<&Lookup<'_>>) -> Result<Object, FileError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let found = std::path::absolute(Path::new(path));
            return Err(found.map_or_else(
                |_| FileError::MissingAnywhere(path.to_owned()),
                |absolute| FileError::Missing(absolute.display().to_string()),
            ));
        }
        Err(error) => {
            return Err(FileError::Read { path: path.to_owned(), reason: read_error(path, &error) });
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let text = match expand {
        Some(lookup) => env_expansion::expand(&text, lookup),
        None => text.into_owned(),
    };
    parse(&text).map_err(|error| FileError::Decode { path: path.to_owned(), reason: error.to_string() })
}

/// As Go says it: what was done, to what, and the system's word in lower case without a code.
fn read_error(path: &str, error: &std::io::Error) -> String {
    let doing = if error.kind() == ErrorKind::IsADirectory { "read" } else { "open" };
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    format!("{doing} {path}: {}{}", first.map(String::from).unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named_with_its_whole_path() {
        // SC-002
        let error = read_file("no/such.conf", None).unwrap_err().to_string();
        let here = std::env::current_dir().unwrap();
        let expected = format!(
            "could not find config file {}/no/such.conf: please use the -config flag",
            here.display()
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn a_folder_is_not_a_configuration() {
        // SC-003
        let error = read_file("/tmp", None).unwrap_err().to_string();
        assert_eq!(error, "unable to read configuration at \"/tmp\": read /tmp: is a directory");
    }
}
