use std::time::Duration;

use crate::clock::{SharedClock, SystemClock};
use crate::random::{SharedRandom, SystemRandom};

/// How waiting times grow.
#[derive(Debug, Clone, Copy)]
pub struct BackoffOptions {
    /// Each interval is this many times the one before.
    pub multiplier: f64,
    /// Each wait is drawn from its interval ± this fraction of it.
    pub jitter: f64,
    /// Where growing ends; 24 times the first interval if `None`.
    pub max_interval: Option<Duration>,
    /// After this much time since the start or the last reset there is no next wait; `None` never gives up.
    pub max_elapsed: Option<Duration>,
}

impl Default for BackoffOptions {
    fn default() -> Self {
        Self { multiplier: 1.5, jitter: 0.1, max_interval: None, max_elapsed: None }
    }
}

/// Growing, jittered waiting times between retries, as SPIRE spaces them.
#[derive(Debug)]
pub struct Backoff {
    initial: Duration,
    options: BackoffOptions,
    current: Duration,
    started: Duration,
    clock: SharedClock,
    random: SharedRandom,
}

impl Backoff {
    /// On the machine's clock and randomness.
    pub fn new(initial: Duration, options: BackoffOptions) -> Self {
        Self::with(initial, options, SystemClock::shared(), std::sync::Arc::new(SystemRandom))
    }

    pub fn with(
        initial: Duration,
        options: BackoffOptions,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Self {
        let started = clock.monotonic();
        Self { initial, options, current: initial, started, clock, random }
    }

    /// How long to wait before the next try; `None` when it is time to give up.
    #[expect(clippy::should_implement_trait, reason = "a wait is not an item of a collection")]
    pub fn next(&mut self) -> Option<Duration> {
        let wait = crate::random::jittered(&*self.random, self.current, self.options.jitter);
        self.current = self.current.mul_f64(self.options.multiplier).min(self.max_interval());
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        match self.options.max_elapsed {
            Some(limit) if elapsed + wait > limit => None,
            _ => Some(wait),
        }
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.current = self.initial;
        self.started = self.clock.monotonic();
    }

    fn max_interval(&self) -> Duration {
        self.options.max_interval.unwrap_or(self.initial * 24)
    }
}

/// How many records to send at once to a server that may answer "too many".
#[derive(Debug, Clone, Copy)]
pub struct SizeLimitedBackoff {
    current: usize,
    max: usize,
}

impl SizeLimitedBackoff {
    /// Starts at `max`, which is at least one.
    pub fn new(max: usize) -> Self {
        Self { current: max.max(1), max: max.max(1) }
    }

    pub fn size(&self) -> usize {
        self.current
    }

    /// Doubles the size, up to the maximum.
    pub fn success(&mut self) {
        self.current = self.current.saturating_mul(2).min(self.max);
    }

    /// Halves the size, down to one.
    pub fn failure(&mut self) {
        self.current = (self.current / 2).max(1);
    }

    pub fn reset(&mut self) {
        self.current = self.max;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::random::FixedRandom;

    fn at_middle(options: BackoffOptions, clock: &ManualClock) -> Backoff {
        Backoff::with(Duration::from_millis(6400), options, clock.shared(), Arc::new(FixedRandom(0.5)))
    }

    #[test]
    fn waits_grow_by_half_up_to_24_times_the_first() {
        let mut backoff = at_middle(BackoffOptions::default(), &ManualClock::at_unix(0));
        for expected in [6400, 9600, 14400, 21600, 32400, 48600, 72900, 109_350, 153_600, 153_600] {
            assert_eq!(backoff.next(), Some(Duration::from_millis(expected)));
        }
        backoff.reset();
        assert_eq!(backoff.next(), Some(Duration::from_millis(6400)));
    }

    #[test]
    fn a_given_maximum_caps_the_interval() {
        let options =
            BackoffOptions { max_interval: Some(Duration::from_secs(8)), ..BackoffOptions::default() };
        let mut backoff = at_middle(options, &ManualClock::at_unix(0));
        assert_eq!(backoff.next(), Some(Duration::from_millis(6400)));
        assert_eq!(backoff.next(), Some(Duration::from_secs(8)));
    }

    #[test]
    fn there_is_no_next_wait_beyond_the_elapsed_limit() {
        let clock = ManualClock::at_unix(0);
        let options =
            BackoffOptions { max_elapsed: Some(Duration::from_secs(60)), ..BackoffOptions::default() };
        let mut backoff = at_middle(options, &clock);
        assert!(backoff.next().is_some());
        clock.advance(Duration::from_secs(59));
        assert_eq!(backoff.next(), None);
        backoff.reset();
        assert!(backoff.next().is_some());
    }

    #[test]
    fn request_sizes_halve_on_failure_and_double_on_success() {
        let mut size = SizeLimitedBackoff::new(5);
        for expected in [2, 1, 1] {
            size.failure();
            assert_eq!(size.size(), expected);
        }
        for expected in [2, 4, 5] {
            size.success();
            assert_eq!(size.size(), expected);
        }
    }
}
