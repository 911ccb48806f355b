//! How often workloads may ask (AG-467, AG-468).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use spire_runtime::SharedClock;
use spire_types::Selector;

/// Buckets that nobody used go after one to two of these.
const SWEEP: Duration = Duration::from_secs(60);

/// One method's limit: as many calls a second, and at once, for each set of selectors.
#[derive(Debug)]
pub struct RateLimiter {
    rate: u32,
    clock: SharedClock,
    buckets: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    current: HashMap<Vec<Selector>, Bucket>,
    previous: HashMap<Vec<Selector>, Bucket>,
    swept: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl RateLimiter {
    /// `rate` 0 is no limit.
    pub fn new(rate: u32, clock: SharedClock) -> Option<Self> {
        (rate > 0).then(|| Self { rate, clock, buckets: Mutex::default() })
    }

    /// Whether this call is within the limit.
    pub fn allows(&self, selectors: &[Selector]) -> bool {
        let mut key = selectors.to_vec();
        key.sort_unstable();
        let now = self.clock.monotonic();
        let rate = f64::from(self.rate);
        let mut buckets = self.buckets.lock();
        if now.saturating_sub(buckets.swept) >= SWEEP {
            buckets.swept = now;
            buckets.previous = std::mem::take(&mut buckets.current);
        }
        let known = buckets.current.remove(&key).or_else(|| buckets.previous.remove(&key));
        let mut bucket = known.unwrap_or(Bucket { tokens: rate, at: now });
        let earned = now.saturating_sub(bucket.at).as_secs_f64() * rate;
        bucket = Bucket { tokens: (bucket.tokens + earned).min(rate), at: now };
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        buckets.current.insert(key, bucket);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use spire_runtime::ManualClock;

    use super::*;

    #[test]
    fn a_greedy_workload_does_not_take_from_others() {
        // AG-467
        let clock = ManualClock::at_unix(0);
        assert!(RateLimiter::new(0, clock.shared()).is_none());
        let limiter = RateLimiter::new(2, clock.shared()).unwrap();
        let selectors =
            |uid: &str| vec![Selector::parse(uid).unwrap(), Selector::parse("unix:gid:1").unwrap()];
        let greedy = selectors("unix:uid:1");
        assert!(limiter.allows(&greedy) && limiter.allows(&greedy) && !limiter.allows(&greedy));
        let reversed: Vec<Selector> = greedy.iter().rev().cloned().collect();
        assert!(!limiter.allows(&reversed), "the order of selectors makes no other caller");
        assert!(limiter.allows(&selectors("unix:uid:2")) && limiter.allows(&[]));
        clock.advance(Duration::from_millis(500));
        assert!(limiter.allows(&greedy) && !limiter.allows(&greedy));
        clock.advance(SWEEP * 3);
        assert!(limiter.allows(&greedy) && limiter.allows(&greedy) && !limiter.allows(&greedy));
    }
}
