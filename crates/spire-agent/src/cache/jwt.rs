//! Tokens that were minted and still hold (AG-381 to AG-387).

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;
use spire_crypto::hash::sha256;
use spire_types::{JwtSvid, SpiffeId};
use time::OffsetDateTime;

type Key = [u8; 32];

/// A token, and from when on a new one is wanted.
#[derive(Debug, Clone)]
pub struct CachedToken {
    pub svid: JwtSvid,
    pub renew_at: OffsetDateTime,
}

impl CachedToken {
    pub fn is_fresh(&self, now: OffsetDateTime) -> bool {
        !self.is_expired(now) && now < self.renew_at
    }

    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now.unix_timestamp() >= self.svid.expires_at
    }
}

/// The least recently used tokens go first; never more than the limit.
#[derive(Debug)]
pub struct JwtCache {
    max_size: usize,
    items: Mutex<Items>,
}

#[derive(Debug, Default)]
struct Items {
    by_key: HashMap<Key, (u64, CachedToken)>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
}

impl JwtCache {
    pub fn new(max_size: usize) -> Self {
        Self { max_size: max_size.max(1), items: Mutex::default() }
    }

    pub fn len(&self) -> usize {
        self.items.lock().by_key.len()
    }

    pub fn get(&self, id: &SpiffeId, audience: &[String]) -> Option<CachedToken> {
        self.items.lock().touch(key(id, audience))
    }

    pub fn put(&self, id: &SpiffeId, audience: &[String], token: CachedToken) {
        let key = key(id, audience);
        let mut items = self.items.lock();
        items.remove(&key);
        while items.by_key.len() >= self.max_size {
            let Some((_, oldest)) = items.by_use.pop_first() else { break };
            items.by_key.remove(&oldest);
        }
        items.insert(key, token);
    }

    /// Forgets tokens that were signed with one of these keys (AG-412).
    pub fn taint(&self, key_ids: &HashSet<String>) {
        let mut items = self.items.lock();
        let tainted: Vec<Key> = items
            .by_key
            .iter()
            .filter(|(_, (_, token))| {
                let key_id = spire_crypto::jose::peek_key_id(&token.svid.token);
                key_id.is_ok_and(|key_id| key_ids.contains(&key_id))
            })
            .map(|(key, _)| *key)
            .collect();
        if !tainted.is_empty() {
            tracing::info!(
                subsystem_name = "cache_manager",
                tainted_jwt_svids = tainted.len(),
                "JWT-SVIDs were removed from the JWT cache because they were issued by a tainted authority"
            );
        }
        for key in tainted {
            items.remove(&key);
        }
    }
}

impl Items {
    fn remove(&mut self, key: &Key) -> Option<CachedToken> {
        let (used, token) = self.by_key.remove(key)?;
        self.by_use.remove(&used);
        Some(token)
    }

    fn insert(&mut self, key: Key, token: CachedToken) {
        self.uses += 1;
        self.by_use.insert(self.uses, key);
        self.by_key.insert(key, (self.uses, token));
    }

    fn touch(&mut self, key: Key) -> Option<CachedToken> {
        let token = self.remove(&key)?;
        self.insert(key, token.clone());
        Some(token)
    }
}

/// Audiences in any order are the same (AG-381).
fn key(id: &SpiffeId, audience: &[String]) -> Key {
    let mut sorted: Vec<&str> = audience.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut text = id.to_string().into_bytes();
    text.push(0);
    for audience in sorted {
        text.extend_from_slice(audience.as_bytes());
        text.push(0);
    }
    sha256(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(path: &str) -> SpiffeId {
        format!("spiffe://example.org{path}").parse().unwrap()
    }

    fn token(text: &str) -> CachedToken {
        CachedToken {
            svid: JwtSvid {
                id: id("/w"),
                token: text.into(),
                issued_at: 0,
                expires_at: 100,
                hint: String::new(),
            },
            renew_at: OffsetDateTime::from_unix_timestamp(50).unwrap(),
        }
    }

    fn audience(all: &[&str]) -> Vec<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn the_order_of_audiences_does_not_matter_but_their_limits_do() {
        // AG-381: a token for another audience would be accepted by the wrong service.
        let cache = JwtCache::new(10);
        cache.put(&id("/w"), &audience(&["a", "b"]), token("t"));
        assert!(cache.get(&id("/w"), &audience(&["b", "a"])).is_some());
        assert!(cache.get(&id("/w"), &audience(&["ab"])).is_none());
        assert!(cache.get(&id("/w"), &audience(&["a"])).is_none());
        assert!(cache.get(&id("/x"), &audience(&["a", "b"])).is_none());
    }

    #[test]
    fn the_least_recently_used_token_goes_first() {
        // AG-385
        let cache = JwtCache::new(2);
        for name in ["a", "b"] {
            cache.put(&id("/w"), &audience(&[name]), token(name));
        }
        assert!(cache.get(&id("/w"), &audience(&["a"])).is_some());
        cache.put(&id("/w"), &audience(&["c"]), token("c"));
        assert_eq!(cache.len(), 2);
        assert!(cache.get(&id("/w"), &audience(&["b"])).is_none());
        assert!(cache.get(&id("/w"), &audience(&["a"])).is_some());
    }

    #[test]
    fn tokens_are_renewed_before_they_expire() {
        // AG-382
        let at = |unix| OffsetDateTime::from_unix_timestamp(unix).unwrap();
        assert!(token("t").is_fresh(at(49)));
        assert!(!token("t").is_fresh(at(50)) && !token("t").is_expired(at(99)));
        assert!(token("t").is_expired(at(100)));
    }
}
