//! Randomness for jitter comes in from outside (A7). Never use it for secrets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

/// A source that is passed around.
pub type SharedRandom = Arc<dyn Random>;

/// Where jitter comes from.
pub trait Random: Send + Sync + fmt::Debug {
    /// A number in `low..high`, every one equally likely; `low` when the range is empty.
    fn uniform(&self, low: f64, high: f64) -> f64;
}

/// The generator of the current thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn uniform(&self, low: f64, high: f64) -> f64 {
        low + rand::rng().random::<f64>() * (high - low).max(0.0)
    }
}

/// Always the same place of the range, for tests: 0.0 is its low end, 0.5 the middle.
#[derive(Debug, Clone, Copy)]
pub struct FixedRandom(pub f64);

impl Random for FixedRandom {
    fn uniform(&self, low: f64, high: f64) -> f64 {
        low + self.0 * (high - low).max(0.0)
    }
}

/// `duration` ± `fraction` of it.
pub fn jittered(random: &dyn Random, duration: Duration, fraction: f64) -> Duration {
    let seconds = duration.as_secs_f64();
    let delta = seconds * fraction;
    Duration::try_from_secs_f64(random.uniform(seconds - delta, seconds + delta)).unwrap_or(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_fraction() {
        let hour = Duration::from_secs(3600);
        assert_eq!(jittered(&FixedRandom(0.0), hour, 0.1), Duration::from_secs(3240));
        assert_eq!(jittered(&FixedRandom(0.5), hour, 0.1), hour);
        for _ in 0..100 {
            let some = jittered(&SystemRandom, hour, 0.1);
            assert!(some >= Duration::from_secs(3240) && some <= Duration::from_secs(3960), "{some:?}");
        }
    }
}
