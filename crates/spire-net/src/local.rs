//! Local sockets whose peers are processes of this machine.
//!
//! A process id is only a number and numbers are reused. A [`PinnedPeer`] holds on to the process that connected, so
//! that whoever acts on facts gathered about the id can make sure afterwards that they were facts about the caller
//! (AG-457 to AG-460).

mod authority;
mod huffman;
mod listener;
mod memory;
mod peer_pidfd;
mod pin;
mod stream;

pub use listener::{BindError, LocalIncoming, LocalListener, Tracking};
pub use pin::{PeerCredentials, PeerGone, PinError, PinnedPeer};
pub use stream::{LocalPeer, LocalStream};

#[cfg(test)]
mod tests;
