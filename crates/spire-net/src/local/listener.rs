//! Listening on a socket file.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use spire_runtime::Chain;
use tokio::net::UnixListener;
use tokio::time::Sleep;

use super::memory::Memory;
use super::stream::LocalStream;

/// How long to wait when the system is out of file descriptors or the like.
const RETRY: Duration = Duration::from_millis(50);

/// Whether the processes that connect are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// Costs nothing per connection; there is no [`PinnedPeer`](super::PinnedPeer).
    Off,
    /// Connections whose peer cannot be pinned are refused (AG-457).
    Pinned,
}

/// The socket could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("unable to create socket directory {path}")]
    Directory { path: PathBuf, source: io::Error },
    #[error("unable to remove old socket {path}")]
    Stale { path: PathBuf, source: io::Error },
    #[error("unable to listen on {path}")]
    Listen { path: PathBuf, source: io::Error },
    #[error("unable to change UDS permissions of {path}")]
    Permissions { path: PathBuf, source: io::Error },
}

/// A socket file that is being listened on; removed when dropped.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so as never to remove the file of a successor.
    file: (u64, u64),
}

impl LocalListener {
    /// Creates missing folders with `dir_mode`, removes whatever file or empty folder is at `path`, listens, and sets
    /// the permissions of the socket to `mode` (SA-214, AG-451).
    pub fn bind(path: &Path, mode: u32, dir_mode: u32) -> Result<Self, BindError> {
        let at = || path.to_owned();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let created = DirBuilder::new().recursive(true).mode(dir_mode).create(folder);
            created.map_err(|source| BindError::Directory { path: folder.to_owned(), source })?;
        }
        remove_stale(path).map_err(|source| BindError::Stale { path: at(), source })?;
        let listener = UnixListener::bind(path).map_err(|source| BindError::Listen { path: at(), source })?;
        let opened =
            fs::set_permissions(path, Permissions::from_mode(mode)).and_then(|()| fs::metadata(path));
        let file = opened.map_err(|source| BindError::Permissions { path: at(), source })?;
        Ok(Self { listener, path: at(), file: (file.dev(), file.ino()) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connections, for [`serve`](crate::serve::serve). Never fails and never ends.
    pub fn incoming(self, tracking: Tracking) -> LocalIncoming {
        LocalIncoming { listener: self, tracking, pause: None, memory: Memory::default() }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Container runtimes make one where a file to mount is missing. One that is in use stays, and binding fails.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            let _ = fs::remove_dir(path);
            Ok(())
        }
        removed => removed,
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if ours {
            // What remains of a failure is a stale file, which the next start removes.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The connections of a [`LocalListener`].
#[derive(Debug)]
pub struct LocalIncoming {
    listener: LocalListener,
    tracking: Tracking,
    pause: Option<Pin<Box<Sleep>>>,
    memory: Memory,
}

impl Stream for LocalIncoming {
    type Item = io::Result<LocalStream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.memory.poll(context);
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.listener.poll_accept(context)) {
                Ok((stream, _)) => match LocalStream::accepted(stream, self.tracking, self.memory.opened()) {
                    Ok(stream) => return Poll::Ready(Some(Ok(stream))),
                    Err(error) => {
                        tracing::warn!(error = %Chain(&error), "Connection failed during accept");
                    }
                },
                Err(error) => {
                    tracing::warn!(path = %self.listener.path.display(), %error, "Failed to accept a connection");
                    self.pause = Some(Box::pin(tokio::time::sleep(RETRY)));
                }
            }
        }
    }
}
