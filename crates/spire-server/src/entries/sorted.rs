//! A sorted map of which copies are free and of which a change copies little.
//!
//! Two levels of shared vectors: a change copies one chunk and the list of chunks. That is a few kilobytes at a
//! hundred thousand elements, and the chunks stay as compact as an array.

use std::sync::Arc;

/// Elements per chunk at most.
const MAX: usize = 256;
/// Elements per chunk to begin with: the first insertions need not split it.
const FILL: usize = MAX / 4 * 3;
/// Room made when a full-to-the-brim chunk must grow; doubling would waste half of the memory.
const GROWTH: usize = 32;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

#[derive(Debug)]
pub(super) struct SortedMap<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for SortedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<K: Ord + Copy, V: Clone> SortedMap<K, V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All at once, which is several times cheaper than one by one. Of equal keys the last one counts.
    pub(super) fn from_unsorted(elements: Vec<(K, V)>) -> Self {
        let mut elements = last_of_each(elements).into_iter();
        let len = elements.len();
        let chunks =
            (0..len.div_ceil(FILL)).map(|_| Arc::new(elements.by_ref().take(FILL).collect())).collect();
        Self { chunks: Arc::new(chunks), len }
    }

    /// The chunk in which `key` is or would be.
    fn chunk_of(&self, key: &K) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.first().is_some_and(|(first, _)| first <= key))
            .saturating_sub(1)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let at = chunk.binary_search_by(|(candidate, _)| candidate.cmp(key)).ok()?;
        chunk.get(at).map(|(_, value)| value)
    }

    /// Returns the value that was there.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at_chunk = self.chunk_of(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(at_chunk) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        let at = match chunk.binary_search_by(|(candidate, _)| candidate.cmp(&key)) {
            Ok(at) => return Some(std::mem::replace(&mut Arc::make_mut(chunk)[at].1, value)),
            Err(at) => at,
        };
        self.len += 1;
        if chunk.len() < MAX {
            insert_at(Arc::make_mut(chunk), at, (key, value));
        } else if at == chunk.len() {
            // Ascending keys fill chunks instead of leaving them half empty.
            chunks.insert(at_chunk + 1, Arc::new(vec![(key, value)]));
        } else {
            let left = Arc::make_mut(chunk);
            let mut right = left.split_off(MAX / 2);
            match at.checked_sub(left.len()) {
                Some(at) if at > 0 => insert_at(&mut right, at, (key, value)),
                _ => insert_at(left, at, (key, value)),
            }
            left.shrink_to(left.len() + GROWTH);
            chunks.insert(at_chunk + 1, Arc::new(right));
        }
        None
    }

    /// Returns what was removed.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at_chunk = self.chunk_of(key);
        let at = self.chunks.get(at_chunk)?.binary_search_by(|(candidate, _)| candidate.cmp(key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(chunks.get_mut(at_chunk)?);
        let (_, value) = chunk.remove(at);
        if chunk.is_empty() {
            chunks.remove(at_chunk);
        }
        self.len -= 1;
        Some(value)
    }

    /// Everything from `key` upwards.
    pub(super) fn from(&self, key: &K) -> impl Iterator<Item = &(K, V)> + use<'_, K, V> {
        let at_chunk = self.chunk_of(key);
        let skip = self
            .chunks
            .get(at_chunk)
            .map_or(0, |chunk| chunk.partition_point(|(candidate, _)| candidate < key));
        self.chunks.iter().skip(at_chunk).flat_map(|chunk| chunk.iter()).skip(skip)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

/// The last element of each key, ordered by key.
pub(super) fn last_of_each<K: Ord + Copy, V>(mut elements: Vec<(K, V)>) -> Vec<(K, V)> {
    // Stable, so that the last one stays the last one; of equal neighbours the first one stays.
    elements.reverse();
    elements.sort_by_key(|(key, _)| *key);
    elements.dedup_by_key(|(key, _)| *key);
    elements
}

fn insert_at<T>(chunk: &mut Vec<T>, at: usize, item: T) {
    if chunk.len() == chunk.capacity() {
        chunk.reserve_exact(GROWTH);
    }
    chunk.insert(at, item);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn behaves_like_a_btree_and_leaves_older_copies_alone() {
        let mut map = SortedMap::default();
        let mut model = BTreeMap::new();
        let mut state = 7u64;
        for step in 0..20_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (state >> 33) % 3000;
            if state & 4 == 0 {
                assert_eq!(map.remove(&key), model.remove(&key));
            } else {
                assert_eq!(map.insert(key, step), model.insert(key, step));
            }
            if step == 10_000 {
                let copy = map.clone();
                let frozen: Vec<_> = model.iter().map(|(k, v)| (*k, *v)).collect();
                map.insert(1, 0);
                model.insert(1, 0);
                map.remove(&frozen[5].0);
                model.remove(&frozen[5].0);
                assert_eq!(copy.iter().copied().collect::<Vec<_>>(), frozen);
            }
        }
        assert_eq!(map.len(), model.len());
        assert_eq!(
            map.iter().copied().collect::<Vec<_>>(),
            model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>()
        );
        for key in [0, 1, 57, 1500, 2999, 3000] {
            assert_eq!(map.get(&key), model.get(&key));
            let ours: Vec<_> = map.from(&key).copied().collect();
            assert_eq!(ours, model.range(key..).map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn all_at_once_is_as_one_by_one() {
        for count in [0u32, 1, 191, 192, 193, 1000] {
            let elements: Vec<(u32, u32)> =
                (0..count).map(|n| (n.wrapping_mul(2_654_435_761) % 700, n)).collect();
            let mut one_by_one = SortedMap::default();
            for (key, value) in &elements {
                one_by_one.insert(*key, *value);
            }
            let mut at_once = SortedMap::from_unsorted(elements);
            assert_eq!(at_once.len(), one_by_one.len());
            assert!(at_once.iter().eq(one_by_one.iter()), "{count}");
            at_once.insert(7, 1);
            one_by_one.insert(7, 1);
            assert!(at_once.iter().eq(one_by_one.iter()), "{count}");
        }
    }

    #[test]
    fn ascending_keys_fill_chunks() {
        let mut map = SortedMap::default();
        for key in 0..1024u32 {
            map.insert(key, ());
        }
        assert_eq!(map.chunks.len(), 1024 / MAX);
    }
}
