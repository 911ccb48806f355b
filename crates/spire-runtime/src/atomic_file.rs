//! Files that are either the old or the new version, whatever happens in between.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file could not be replaced; the old version, if any, is untouched.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {path}")]
pub struct WriteError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

/// Replaces `path` by `bytes` with permissions `mode`: temporary file beside it, fsync, rename, fsync of the folder.
///
/// Blocks; from async code use [`write_async`].
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    replace(path, bytes, mode).map_err(|source| WriteError { path: path.to_owned(), source })
}

/// [`write`] on a thread that may block.
pub async fn write_async(path: PathBuf, bytes: Vec<u8>, mode: u32) -> Result<(), WriteError> {
    let at = path.clone();
    match tokio::task::spawn_blocking(move || write(&path, &bytes, mode)).await {
        Ok(result) => result,
        Err(stopped) => Err(WriteError { path: at, source: io::Error::other(stopped) }),
    }
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = temporary_name(path, folder)?;
    let written = write_new(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_new(temporary: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary)?;
    // The umask may have taken bits away that the caller asked for.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Unique per process and call, so that two writers never share a temporary file, nor one that a dead one left.
fn temporary_name(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // A process id is not enough: in every container the server is process 1.
    static STARTED: LazyLock<u128> =
        LazyLock::new(|| std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos()));
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.{:x}.{number}.tmp", std::process::id(), *STARTED));
    Ok(folder.join(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_version_has_the_asked_permissions_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        write(&path, b"one", 0o644).unwrap();
        write(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/keys.json");
        let error = write(&path, b"", 0o600).unwrap_err();
        assert!(error.to_string().contains("missing/keys.json"), "{error}");
    }
}
