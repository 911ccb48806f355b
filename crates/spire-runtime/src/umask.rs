//! The permissions that new files and sockets never get.

use rustix::fs::Mode;
use rustix::process;

/// Adds `bits` to the umask of the process and keeps what is set already (SA-214 wants at least 0027).
///
/// Returns the umask as it was. Call it once at start, before other threads create files.
pub fn at_least(bits: u32) -> u32 {
    let wanted = Mode::from_raw_mode(bits);
    let before = process::umask(wanted);
    process::umask(before | wanted);
    before.as_raw_mode()
}
