//! Which registration entries each agent may have, answered from memory (A4, SA-227..249).
//!
//! One writer ([`EntryCache::run`]) follows the store's events and local commits and swaps in a new immutable
//! snapshot after each change, at a cost in proportion to the change. Readers never wait and never ask the store.

mod affected;
#[cfg(feature = "bench")]
#[doc(hidden)]
#[allow(clippy::unwrap_used, reason = "a bench on fixed input")]
pub mod bench;
mod cache;
mod doorbell;
mod entry;
mod event_feed;
mod key;
mod snapshot;
mod sorted;
mod view;

pub use cache::{EntryCache, EntryCacheError, EntryCacheSettings, EntryCacheTask};
pub use doorbell::{Doorbell, DoorbellStream, Ring};
pub use entry::{AGENT_MASK, IndexedEntry};
pub use snapshot::CachedAgent;
pub use view::AuthorizedEntries;
