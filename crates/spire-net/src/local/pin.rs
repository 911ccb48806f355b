//! Holding on to a process.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use spire_runtime::proc_file;
use tokio::net::UnixStream;

use super::peer_pidfd::peer_pidfd;

/// What the kernel says of the process that connected, as of the moment it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// The peer could not be pinned; its connection must be refused (AG-457).
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The peer is outside of our pid namespace.
    #[error("could not resolve caller information")]
    NoPid,
    #[error("could not get a handle on process {pid}")]
    Handle { pid: i32, source: io::Error },
    #[error("caller has exited")]
    Exited,
    #[error("could not read caller stat")]
    Stat(#[source] io::Error),
    #[error("bad stat data: task name is not parenthesized")]
    TaskName,
    #[error("bad stat data or unsupported platform")]
    Fields,
}

/// The process that connected is gone, or can no longer be told from another one (AG-458).
#[derive(Debug, thiserror::Error)]
pub enum PeerGone {
    #[error("caller has exited")]
    Exited,
    #[error("caller exit suspected due to failed poll of its handle")]
    Handle(#[source] io::Error),
    #[error("caller exit suspected due to failure to get starttime")]
    StartTime(#[source] PinError),
    #[error("new process detected: process starttime {found} does not match original caller {expected}")]
    OtherStartTime { expected: u64, found: u64 },
    #[error("caller exit suspected due to failed proc stat")]
    Owner(#[source] io::Error),
    #[error("new process detected: process uid {found} does not match original caller {expected}")]
    OtherUid { expected: u32, found: u32 },
    #[error("new process detected: process gid {found} does not match original caller {expected}")]
    OtherGid { expected: u32, found: u32 },
}

/// A process that cannot be confused with a later one of the same id.
///
/// Costs one file descriptor.
#[derive(Debug)]
pub struct PinnedPeer {
    credentials: PeerCredentials,
    /// Unless the handle alone tells the peer from every other process.
    start_time: Option<u64>,
    handle: Handle,
    proc: &'static Path,
    /// Closed when the peer turns out to be gone (AG-459).
    connection: Weak<UnixStream>,
}

#[derive(Debug)]
enum Handle {
    /// From the socket: it is the peer's, whatever becomes of its id. Readable once the process has exited.
    Peer(OwnedFd),
    /// From the id, which somebody else may have had by then.
    Pidfd(OwnedFd),
    /// Of kernels without pidfds: listing it fails once the process has exited.
    ProcDir(OwnedFd),
}

impl PinnedPeer {
    /// Pins the process with these credentials, which must just have come from the kernel.
    pub fn pin(credentials: PeerCredentials) -> Result<Self, PinError> {
        Self::pin_in(Path::new("/proc"), credentials, None)
    }

    /// Pins the peer of a connection, which is closed when the peer turns out to be gone.
    pub(super) fn of_connection(
        credentials: PeerCredentials,
        connection: &Arc<UnixStream>,
    ) -> Result<Self, PinError> {
        Self::pin_in(Path::new("/proc"), credentials, Some(connection))
    }

    /// `proc` differs in tests only, where processes change as the test wants them to.
    pub(super) fn pin_in(
        proc: &'static Path,
        credentials: PeerCredentials,
        connection: Option<&Arc<UnixStream>>,
    ) -> Result<Self, PinError> {
        let pid = credentials.pid;
        if pid <= 0 {
            return Err(PinError::NoPid);
        }
        let handle = Handle::open(proc, pid, connection.map(|connection| connection.as_fd()))?;
        let start_time = match handle {
            Handle::Peer(_) => {
                handle.check().map_err(|_| PinError::Exited)?;
                None
            }
            Handle::Pidfd(_) | Handle::ProcDir(_) => Some(start_time(proc, pid)?),
        };
        let connection = connection.map(Arc::downgrade).unwrap_or_default();
        Ok(Self { credentials, start_time, handle, proc, connection })
    }

    pub fn pid(&self) -> i32 {
        self.credentials.pid
    }

    /// The credentials as of the moment of connecting.
    pub fn credentials(&self) -> PeerCredentials {
        self.credentials
    }

    /// `/proc/<pid>`: what is read there is about the peer only if [`is_alive`](Self::is_alive) holds afterwards.
    pub fn proc_path(&self) -> PathBuf {
        proc_path(self.proc, self.credentials.pid)
    }

    /// Makes sure that the id still means the process that connected.
    ///
    /// Call it *after* gathering facts about the process. On failure the connection is closed, too (AG-459).
    pub fn is_alive(&self) -> Result<(), PeerGone> {
        let alive = self.check();
        if let Err(gone) = &alive {
            let reason = spire_runtime::Chain(gone);
            tracing::warn!(pid = self.credentials.pid, error = %reason, "Caller is no longer the process that connected");
            if let Some(connection) = self.connection.upgrade() {
                // It may be closed already; either way nothing more is heard of it.
                let _ = rustix::net::shutdown(&*connection, Shutdown::Both);
            }
        }
        alive
    }

    fn check(&self) -> Result<(), PeerGone> {
        self.handle.check()?;
        if let Some(expected) = self.start_time {
            let found = start_time(self.proc, self.credentials.pid).map_err(PeerGone::StartTime)?;
            if found != expected {
                return Err(PeerGone::OtherStartTime { expected, found });
            }
        }
        // If another process was faster than our handle, it at least runs as the same user and group. A process that
        // hides from its own user is owned by root here and is refused.
        let owner = fs::metadata(self.proc_path()).map_err(PeerGone::Owner)?;
        if owner.uid() != self.credentials.uid {
            return Err(PeerGone::OtherUid { expected: self.credentials.uid, found: owner.uid() });
        }
        if owner.gid() != self.credentials.gid {
            return Err(PeerGone::OtherGid { expected: self.credentials.gid, found: owner.gid() });
        }
        Ok(())
    }
}

impl Handle {
    /// From the socket where the kernel can, else from the pid, which someone else may have by now: then the owner and
    /// the checks to come are all there is to tell.
    fn open(proc: &Path, pid: i32, socket: Option<BorrowedFd<'_>>) -> Result<Self, PinError> {
        let failed = |source: io::Error| PinError::Handle { pid, source };
        if let Some(socket) = socket {
            match peer_pidfd(socket) {
                Ok(pidfd) => return Ok(Self::Peer(pidfd)),
                // The kernel does not know this question; on any other answer the process is gone.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EINVAL)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let known = Pid::from_raw(pid).ok_or(PinError::NoPid)?;
        match pidfd_open(known, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self::Pidfd(pidfd)),
            // Old kernels, and sandboxes that know no pidfds.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                let opened = fs::File::open(proc_path(proc, pid));
                opened.map(|directory| Self::ProcDir(directory.into())).map_err(failed)
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    fn check(&self) -> Result<(), PeerGone> {
        match self {
            Self::Peer(pidfd) | Self::Pidfd(pidfd) => {
                let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
                let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
                match poll(&mut polled, Some(&at_once)) {
                    Ok(0) => Ok(()),
                    Ok(_) => Err(PeerGone::Exited),
                    Err(error) => Err(PeerGone::Handle(error.into())),
                }
            }
            Self::ProcDir(directory) => {
                let gone = |error: Errno| PeerGone::Handle(error.into());
                let mut entries = rustix::fs::Dir::read_from(directory.as_fd()).map_err(gone)?;
                match entries.read() {
                    Some(Ok(_)) => Ok(()),
                    Some(Err(error)) => Err(gone(error)),
                    None => Err(PeerGone::Exited),
                }
            }
        }
    }
}

fn proc_path(proc: &Path, pid: i32) -> PathBuf {
    proc.join(pid.to_string())
}

/// Field 22 of `/proc/<pid>/stat`: when the process started, in clock ticks since boot.
fn start_time(proc: &Path, pid: i32) -> Result<u64, PinError> {
    let stat = proc_file::read(&proc_path(proc, pid).join("stat")).map_err(PinError::Stat)?;
    parse_start_time(&stat)
}

/// The name of the program, field 2, is in parentheses and may itself hold spaces and parentheses.
pub(super) fn parse_start_time(stat: &[u8]) -> Result<u64, PinError> {
    let end = stat.iter().rposition(|byte| *byte == b')').ok_or(PinError::TaskName)?;
    if !stat[..end].contains(&b'(') {
        return Err(PinError::TaskName);
    }
    let rest = std::str::from_utf8(&stat[end + 1..]).map_err(|_| PinError::Fields)?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Two fields are before; older kernels than 2.1.22 have fewer than 38 and no usable field 22.
    if fields.len() < 36 {
        return Err(PinError::Fields);
    }
    fields[19].parse().map_err(|_| PinError::Fields)
}
