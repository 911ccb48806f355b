//! Where finished lines go.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{LogError, LogOptions, LogStream};

#[derive(Debug)]
pub(super) enum Output {
    Stdout,
    Stderr,
    Discard,
    File {
        path: PathBuf,
        file: File,
    },
    #[cfg(test)]
    Memory(Vec<u8>),
}

impl Output {
    pub fn open(options: &LogOptions) -> Result<Self, LogError> {
        match (&options.file, options.stream) {
            (Some(path), _) => match append(path) {
                Ok(file) => Ok(Self::File { path: path.clone(), file }),
                Err(source) => Err(LogError::Open { path: path.clone(), source }),
            },
            (None, LogStream::Stdout) => Ok(Self::Stdout),
            (None, LogStream::Stderr) => Ok(Self::Stderr),
            (None, LogStream::Discard) => Ok(Self::Discard),
        }
    }

    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
            _ => false,
        }
    }

    /// Opens the file anew; keeps the old one if that fails (SC-513).
    pub fn reopen(&mut self) -> Result<(), LogError> {
        if let Self::File { path, file } = self {
            *file = append(path).map_err(|source| LogError::Reopen { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// Writes one line with one call, so that lines of several processes on one file do not mix.
    pub fn write(&mut self, line: &[u8]) {
        let written = match self {
            Self::Stdout => io::stdout().lock().write_all(line),
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::Discard => Ok(()),
            Self::File { file, .. } => file.write_all(line),
            #[cfg(test)]
            Self::Memory(bytes) => bytes.write_all(line),
        };
        if let Err(error) = written {
            // There is no better place left to say so.
            let _ = writeln!(io::stderr(), "Failed to write to log, {error}");
        }
    }
}

pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}
