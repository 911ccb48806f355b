//! Token buckets by address that make callers wait (SA-183 to SA-192).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use spire_runtime::SharedClock;
use tonic::Code;

use super::table::Limit;
use crate::status::ApiError;

/// Unused buckets go after one to two of these.
const SWEEP: Duration = Duration::from_secs(60);

/// All buckets of a server.
#[derive(Debug)]
pub struct RateLimits {
    clock: SharedClock,
    attestation: Option<Buckets>,
    x509_signing: Option<Buckets>,
    jwt_signing: Option<Buckets>,
    wit_signing: Option<Buckets>,
    key_publishing: Buckets,
    post_status: Buckets,
}

impl RateLimits {
    pub fn new(clock: SharedClock, attestation: bool, signing: bool) -> Self {
        let signing = || signing.then(|| Buckets::new(500));
        Self {
            clock,
            attestation: attestation.then(|| Buckets::new(1)),
            x509_signing: signing(),
            jwt_signing: signing(),
            wit_signing: signing(),
            key_publishing: Buckets::new(500),
            post_status: Buckets::new(10),
        }
    }

    fn buckets(&self, limit: Limit) -> Option<&Buckets> {
        match limit {
            Limit::None => None,
            Limit::Attestation => self.attestation.as_ref(),
            Limit::X509Signing => self.x509_signing.as_ref(),
            Limit::JwtSigning => self.jwt_signing.as_ref(),
            Limit::WitSigning => self.wit_signing.as_ref(),
            Limit::KeyPublishing => Some(&self.key_publishing),
            Limit::PostStatus => Some(&self.post_status),
        }
    }

    /// Waits for tokens; refuses only what can never be had, or not before
    /// the caller's deadline.
    pub async fn take(
        &self,
        limit: Limit,
        address: Option<IpAddr>,
        count: usize,
        deadline: Option<Duration>,
    ) -> Result<(), ApiError> {
        let (Some(buckets), Some(address)) = (self.buckets(limit), address) else { return Ok(()) };
        if count > buckets.rate as usize {
            let text = format!("rate ({count}) exceeds burst size ({})", buckets.rate);
            return Err(ApiError::new(Code::ResourceExhausted, text));
        }
        let wait = buckets.reserve(address, count, self.clock.monotonic(), deadline).ok_or_else(|| {
            let text = format!("rate: Wait(n={count}) would exceed context deadline");
            ApiError::new(Code::ResourceExhausted, text)
        })?;
        if !wait.is_zero() {
            let mut reserved = Reserved { buckets, address, count };
            self.clock.sleep(wait).await;
            reserved.count = 0;
        }
        Ok(())
    }
}

/// Tokens of a caller who waits; one who leaves gives them back, or others of
/// its address would wait for nobody.
struct Reserved<'a> {
    buckets: &'a Buckets,
    address: IpAddr,
    count: usize,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.buckets.give_back(self.address, self.count);
    }
}

/// Buckets of one rate; two generations, so that idle ones go.
#[derive(Debug)]
struct Buckets {
    /// Tokens a second, and at most.
    rate: u32,
    state: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    current: HashMap<IpAddr, Bucket>,
    previous: HashMap<IpAddr, Bucket>,
    swept: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Negative when callers wait.
    tokens: f64,
    at: Duration,
}

impl Buckets {
    fn new(rate: u32) -> Self {
        Self { rate, state: Mutex::default() }
    }

    /// How long to wait for the tokens, which are taken now; `None` when that
    /// is longer than the caller has.
    fn reserve(
        &self,
        address: IpAddr,
        count: usize,
        now: Duration,
        deadline: Option<Duration>,
    ) -> Option<Duration> {
        let rate = f64::from(self.rate);
        let mut state = self.state.lock();
        let mut bucket = state.bucket(address, rate, now);
        bucket.tokens = (bucket.tokens + now.saturating_sub(bucket.at).as_secs_f64() * rate).min(rate);
        bucket.at = now;
        bucket.tokens -= count as f64;
        let wait = Duration::from_secs_f64((-bucket.tokens / rate).max(0.0));
        if deadline.is_some_and(|left| wait > left) {
            return None;
        }
        state.current.insert(address, bucket);
        Some(wait)
    }

    fn give_back(&self, address: IpAddr, count: usize) {
        let mut state = self.state.lock();
        let Generations { current, previous, .. } = &mut *state;
        if let Some(bucket) = current.get_mut(&address).or_else(|| previous.get_mut(&address)) {
            bucket.tokens = (bucket.tokens + count as f64).min(f64::from(self.rate));
        }
    }
}

impl Generations {
    fn bucket(&mut self, address: IpAddr, rate: f64, now: Duration) -> Bucket {
        if let Some(bucket) = self.current.get(&address) {
            return *bucket;
        }
        if let Some(bucket) = self.previous.remove(&address) {
            return bucket;
        }
        if now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.previous = std::mem::take(&mut self.current);
        }
        Bucket { tokens: rate, at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn callers_wait_for_tokens_and_other_addresses_do_not() {
        // SA-190, SA-191
        let buckets = Buckets::new(1);
        let at = Duration::from_secs;
        assert_eq!(buckets.reserve(ADDRESS, 1, at(0), None), Some(Duration::ZERO));
        assert_eq!(buckets.reserve(ADDRESS, 1, at(0), None), Some(at(1)));
        assert_eq!(buckets.reserve(ADDRESS, 1, at(0), Some(at(1))), None);
        assert_eq!(buckets.reserve([10, 0, 0, 1].into(), 1, at(0), None), Some(Duration::ZERO));
        assert_eq!(buckets.reserve(ADDRESS, 1, at(10), None), Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn a_caller_who_leaves_gives_its_tokens_back() {
        // SA-191
        let clock = spire_runtime::ManualClock::at_unix(0).shared();
        let limits = RateLimits::new(clock, true, true);
        let take = || limits.take(Limit::Attestation, Some(ADDRESS), 1, None);
        assert!(take().await.is_ok());
        for _ in 0..5 {
            assert!(futures::poll!(Box::pin(take())).is_pending());
        }
        let buckets = limits.buckets(Limit::Attestation).unwrap();
        assert_eq!(buckets.reserve(ADDRESS, 1, Duration::ZERO, None), Some(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn more_than_the_burst_can_never_be_had() {
        let clock = spire_runtime::ManualClock::at_unix(0).shared();
        let limits = RateLimits::new(clock, true, true);
        let error = limits.take(Limit::X509Signing, Some(ADDRESS), 501, None).await.unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::ResourceExhausted, "rate (501) exceeds burst size (500)")
        );
        assert!(
            limits.take(Limit::X509Signing, None, 501, None).await.is_ok(),
            "local callers are not limited"
        );
    }
}
