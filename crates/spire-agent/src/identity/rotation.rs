use std::time::Duration;

use spire_crypto::x509::Certificate;
use spire_runtime::SharedRandom;
use time::OffsetDateTime;

/// A certificate must outlive the availability target by more than this (AG-352, AG-597).
const GRACE: Duration = Duration::from_secs(12 * 3600);
const SPREAD: Duration = Duration::from_secs(600);

/// When an SVID is renewed (AG-351, AG-352).
///
/// The moment is drawn once per SVID: a new draw at each look would pull all of them to the early end.
#[derive(Debug, Clone)]
pub struct RotationPolicy {
    availability_target: Option<Duration>,
    random: SharedRandom,
}

impl RotationPolicy {
    pub fn new(availability_target: Option<Duration>, random: SharedRandom) -> Self {
        Self { availability_target, random }
    }

    /// The lifetime is too short for the availability target, so that half of it counts instead.
    pub fn falls_back(&self, leaf: &Certificate) -> bool {
        self.availability_target.is_some_and(|target| lifetime(leaf) <= target + GRACE)
    }

    pub fn renew_at(&self, leaf: &Certificate) -> OffsetDateTime {
        let remaining = match self.availability_target {
            Some(target) if !self.falls_back(leaf) => target + SPREAD.mul_f64(self.random.uniform(0.0, 1.0)),
            _ => lifetime(leaf).mul_f64(self.random.uniform(0.45, 0.55)),
        };
        leaf.not_after() - remaining
    }

    /// The same for a token; tokens know no availability target.
    pub fn renew_token_at(&self, issued_at: i64, expires_at: i64) -> OffsetDateTime {
        let at = |unix| OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let lifetime = Duration::from_secs(u64::try_from(expires_at - issued_at).unwrap_or_default());
        at(expires_at) - lifetime.mul_f64(self.random.uniform(0.45, 0.55))
    }
}

fn lifetime(leaf: &Certificate) -> Duration {
    Duration::try_from(leaf.not_after() - leaf.not_before()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spire_runtime::FixedRandom;

    use super::*;
    use crate::testing::{NOW, TestCa};

    const HOUR: i64 = 3600;

    #[tokio::test]
    async fn svids_are_renewed_around_half_life_or_early_enough_for_the_target() {
        // AG-351, AG-352, AG-597: too late and workloads lose their identity in an outage.
        let ca = TestCa::new("example.org").await;
        let target = Some(Duration::from_secs(24 * 3600));
        for (target, seconds, random, after) in [
            (None, 1000, 0.0, 550),
            (None, 1000, 1.0, 450),
            // Exactly twelve hours more than the target is not enough.
            (target, 36 * HOUR, 0.5, 18 * HOUR),
            (target, 48 * HOUR, 0.0, 24 * HOUR),
            (target, 48 * HOUR, 1.0, 24 * HOUR - 600),
        ] {
            let policy = RotationPolicy::new(target, Arc::new(FixedRandom(random)));
            let (chain, _) = ca.issue("spiffe://example.org/w", seconds).await;
            assert_eq!(policy.renew_at(&chain[0]).unix_timestamp() - NOW, after, "{target:?} {seconds}");
            assert_eq!(policy.falls_back(&chain[0]), target.is_some() && seconds <= 36 * HOUR);
        }
        let policy = RotationPolicy::new(None, Arc::new(FixedRandom(0.5)));
        assert_eq!(policy.renew_token_at(NOW, NOW + 300).unix_timestamp() - NOW, 150);
    }
}
