//! Asking the kernel for a handle on the process that connected.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A pidfd of the peer of a connected Unix socket, as of the moment it connected.
///
/// Between reading a pid and opening a pidfd for it the process may have been replaced; this has no such gap. Needs
/// Linux 6.5; older kernels answer `ENOPROTOOPT`. No safe wrapper exists.
pub(super) fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut pidfd: RawFd = -1;
    let mut length = libc::socklen_t::try_from(size_of::<RawFd>()).map_err(io::Error::other)?;
    // SAFETY: the socket is open for as long as it is borrowed, and the pointers are to variables of this function
    // whose size is what `length` says.
    #[expect(unsafe_code, reason = "rustix has no wrapper for SO_PEERPIDFD")]
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut pidfd).cast(),
            &raw mut length,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    if pidfd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: on success the kernel has made a new descriptor, which nobody else knows of.
    #[expect(unsafe_code, reason = "rustix has no wrapper for SO_PEERPIDFD")]
    let owned = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(owned)
}
