//! Files that commands read and write (SC-233).

use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;

pub(super) use spire_config::path::clean;
use spire_runtime::logging::os_error_text;

/// For everybody to read.
pub(super) const PUBLIC: u32 = 0o644;
/// For the user alone.
pub(super) const PRIVATE: u32 = 0o600;

/// Reads a file; `-` is standard input.
pub(super) fn read_or_stdin(path: &str) -> Result<Vec<u8>, String> {
    if path == "-" { stdin() } else { read(path) }
}

pub(super) fn read(path: &str) -> Result<Vec<u8>, String> {
    let mut file = File::open(path).map_err(|error| format!("open {path}: {}", os_error_text(&error)))?;
    let mut data = Vec::new();
    file.read_to_end(&mut data).map_err(|error| format!("read {path}: {}", os_error_text(&error)))?;
    Ok(data)
}

pub(super) fn stdin() -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    std::io::stdin()
        .read_to_end(&mut data)
        .map_err(|error| format!("read /dev/stdin: {}", os_error_text(&error)))?;
    Ok(data)
}

/// Replaces a file's content; a file that is there keeps its mode. The folder must exist.
pub(super) fn write(path: &str, data: &[u8], mode: u32) -> Result<(), String> {
    let failed = |doing: &str, error: &std::io::Error| format!("{doing} {path}: {}", os_error_text(error));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(|error| failed("open", &error))?;
    file.write_all(data).map_err(|error| failed("write", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_was_done_to_which_file() {
        // SC-249
        assert_eq!(read("/nonexistent/f").unwrap_err(), "open /nonexistent/f: no such file or directory");
        assert_eq!(read("/").unwrap_err(), "read /: is a directory");
        assert_eq!(
            write("/nonexistent/f", b"", PRIVATE).unwrap_err(),
            "open /nonexistent/f: no such file or directory"
        );
    }
}
