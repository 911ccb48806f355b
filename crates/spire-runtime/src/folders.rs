//! Folders that a program makes for itself.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::logging::os_error_text;

/// Makes a folder and what is missing above it, or says which one could not be made, in Go's words.
pub fn make(path: &Path, mode: u32) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    let failed = |reason: &str| Err(format!("mkdir {}: {reason}", path.display()));
    if path.exists() {
        return failed("not a directory");
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make(parent, mode)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if !path.is_dir() => failed(&os_error_text(&error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_that_could_not_be_made_is_named() {
        // AG-015, AG-162
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("a/b");
        make(&deep, 0o755).unwrap();
        make(&deep, 0o755).unwrap();
        let file = deep.join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("x/y")] {
            let error = make(&path, 0o755).unwrap_err();
            assert_eq!(error, format!("mkdir {}: not a directory", file.display()));
        }
        let error = make(Path::new("/proc/none/x"), 0o755).unwrap_err();
        assert_eq!(error, "mkdir /proc/none: no such file or directory");
    }
}
