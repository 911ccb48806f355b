//! A folder with `spire-server` and `spire-agent`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

#[derive(Debug, Clone)]
pub struct Build {
    pub label: String,
    dir: PathBuf,
}

impl Build {
    /// `DIR` or `LABEL=DIR`.
    pub fn parse(text: &str) -> Result<Self> {
        let (label, dir) = match text.split_once('=') {
            Some((label, dir)) => (label.to_owned(), PathBuf::from(dir)),
            None => {
                let dir = PathBuf::from(text);
                let label =
                    dir.file_name().map_or_else(|| text.to_owned(), |n| n.to_string_lossy().into_owned());
                (label, dir)
            }
        };
        Self::at(label, &dir)
    }

    /// The release binaries that lie beside the harness.
    pub fn ours() -> Result<Self> {
        let me = std::env::current_exe()?;
        match me.parent() {
            Some(dir) => Self::at("spire-rs".to_owned(), dir),
            None => bail!("{} lies in no folder", me.display()),
        }
    }

    fn at(label: String, dir: &Path) -> Result<Self> {
        let build = Self { label, dir: dir.canonicalize()? };
        for program in [build.server(), build.agent()] {
            if !program.is_file() {
                bail!("{} is missing", program.display());
            }
        }
        Ok(build)
    }

    pub fn server(&self) -> PathBuf {
        self.dir.join("spire-server")
    }

    pub fn agent(&self) -> PathBuf {
        self.dir.join("spire-agent")
    }
}
