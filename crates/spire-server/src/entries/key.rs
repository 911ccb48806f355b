//! Names as fixed-size numbers, so that the index holds no strings of its own.
//!
//! 128 bits of a hash with a secret random key: nobody can make two names collide on purpose, and by accident they
//! do not.

use std::hash::{BuildHasher as _, Hash, RandomState};

/// A hashed name. The parts are kept apart so that it needs no 16-byte alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) u64, pub(super) u64);

impl Key {
    /// The lowest key, for ranges.
    pub(super) const MIN: Self = Self(0, 0);
}

/// Makes keys; the same name gives the same key for as long as the process runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    first: RandomState,
    second: RandomState,
}

impl Keys {
    fn key(&self, name: impl Hash) -> Key {
        Key(self.first.hash_one(&name), self.second.hash_one(&name))
    }

    /// The path part of a SPIFFE ID (SA-230).
    pub(super) fn path(&self, path: &str) -> Key {
        self.key(path)
    }

    pub(super) fn entry_id(&self, id: &str) -> Key {
        self.key(id)
    }

    pub(super) fn selector(&self, selector: &spire_types::Selector) -> Key {
        self.key((selector.kind(), selector.value()))
    }

    /// Sorted, without repeats.
    pub(super) fn selectors(&self, selectors: &[spire_types::Selector]) -> Box<[Key]> {
        let mut keys: Vec<Key> = selectors.iter().map(|selector| self.selector(selector)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into()
    }
}

/// Whether sorted `inner` is part of sorted `outer`.
pub(super) fn is_subset(inner: &[Key], outer: &[Key]) -> bool {
    inner.iter().all(|key| outer.binary_search(key).is_ok())
}
