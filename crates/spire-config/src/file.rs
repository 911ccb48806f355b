//! Reads the configuration file of a program (SC-001 to SC-005, SC-010).

use std::io::ErrorKind;

use crate::hcl::{Object, ParseError, Position, parse};
use crate::{DecodeError, env_expansion, path};
use spire_types::go_text::quote;

/// Why there is no configuration; upstream's words.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("could not find config file {0}: please use the -config flag")]
    Missing(String),
    #[error("could not determine CWD; config file not found at {0}: use -config")]
    MissingAnywhere(String),
    #[error("unable to read configuration at {}: {reason}", quote(.path))]
    Read { path: String, reason: String },
    #[error("unable to decode configuration at {}: {reason}", quote(.path))]
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
            return Err(match path::absolute(path) {
                Ok(absolute) => FileError::Missing(absolute),
                Err(_) => FileError::MissingAnywhere(path.to_owned()),
            });
        }
        Err(error) => {
            return Err(FileError::Read { path: path.to_owned(), reason: read_error(path, &error) });
        }
    };
    let decode = |error: ParseError| FileError::Decode { path: path.to_owned(), reason: error.to_string() };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(decode(illegal_encoding(error.as_bytes()))),
    };
    let text = match expand {
        Some(lookup) => env_expansion::expand(&text, lookup),
        None => text,
    };
    parse(&text).map_err(decode)
}

/// Where the last byte stands that is no UTF-8, as for other mistakes of that kind.
fn illegal_encoding(bytes: &[u8]) -> ParseError {
    let mut at = Position { line: 1, column: 1 };
    let mut last = at;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        match valid.rsplit_once('\n') {
            Some((lines, rest)) => {
                at.line += lines.matches('\n').count() + 1;
                at.column = 1 + rest.chars().count();
            }
            None => at.column += valid.chars().count(),
        }
        for _ in chunk.invalid() {
            last = at;
            at.column += 1;
        }
    }
    let message = "illegal UTF-8 encoding".to_owned();
    match bytes.trim_ascii_start().starts_with(b"{") {
        true => ParseError::Json(last, message),
        false => ParseError::Hcl(last, message),
    }
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
    fn a_missing_file_is_named_in_the_shortest_way() {
        // SC-002
        let error = read_file("/no/../such//nope.conf/", None).unwrap_err().to_string();
        assert_eq!(error, "could not find config file /such/nope.conf: please use the -config flag");
    }

    #[test]
    fn bytes_that_are_no_text_are_found() {
        // A name in another encoding must not become another name.
        for (bytes, expected) in [
            (&b"# caf\xe9"[..], "At 1:6: illegal UTF-8 encoding"),
            (b"a = 1\nb = \"\xc3\xa9\xe2\x82\"\n", "At 2:8: illegal UTF-8 encoding"),
            (b" {\"a\": \"\xff\"}", "1:9: illegal UTF-8 encoding"),
        ] {
            assert_eq!(illegal_encoding(bytes).to_string(), expected);
        }
    }

    #[test]
    fn a_folder_is_not_a_configuration() {
        // SC-003
        let error = read_file("/tmp", None).unwrap_err().to_string();
        assert_eq!(error, "unable to read configuration at \"/tmp\": read /tmp: is a directory");
    }
}
