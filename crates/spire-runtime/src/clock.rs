//! Time comes in through [`Clock`], so that expiry, rotation and backoff are tested without waiting (A7).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A clock that is passed around.
pub type SharedClock = Arc<dyn Clock>;

/// Wall time, monotonic time and sleeping.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall time, in UTC.
    fn now(&self) -> OffsetDateTime;

    /// Wall time in whole seconds since 1970.
    fn unix(&self) -> i64 {
        self.now().unix_timestamp()
    }

    /// Time since some fixed point; never goes back. Use it to measure how long something took.
    fn monotonic(&self) -> Duration;

    /// Completes once `duration` has passed on this clock.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// The same, ready to be passed around.
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock for tests that only moves when told to.
///
/// Clones share the same time. Sleepers are woken by [`ManualClock::advance`] in the order of their deadlines.
#[derive(Clone)]
pub struct ManualClock {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    sleepers: watch::Sender<usize>,
}

struct State {
    start: OffsetDateTime,
    elapsed: Duration,
    waiting: Vec<(Duration, oneshot::Sender<()>)>,
}

impl ManualClock {
    /// Starts at the given wall time.
    pub fn at(start: OffsetDateTime) -> Self {
        let state = State { start, elapsed: Duration::ZERO, waiting: Vec::new() };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), sleepers: watch::Sender::new(0) }) }
    }

    /// Starts at the given second since 1970; a value outside of what can be represented starts at 1970.
    pub fn at_unix(seconds: i64) -> Self {
        Self::at(OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// The same clock, ready to be passed around.
    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }

    /// Moves time forward and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut state = self.inner.state.lock();
            state.elapsed += by;
            let now = state.elapsed;
            let mut due = Vec::new();
            let mut index = 0;
            while index < state.waiting.len() {
                if state.waiting[index].0 <= now {
                    due.push(state.waiting.swap_remove(index));
                } else {
                    index += 1;
                }
            }
            self.publish(&mut state);
            due
        };
        let mut due = due;
        due.sort_by_key(|(deadline, _)| *deadline);
        for (_, wake) in due {
            let _ = wake.send(());
        }
    }

    /// Waits until at least `count` tasks sleep on this clock: they have done their work and it is safe to
    /// [`advance`](Self::advance).
    pub async fn wait_for_sleepers(&self, count: usize) {
        let mut sleepers = self.inner.sleepers.subscribe();
        loop {
            let live = {
                let mut state = self.inner.state.lock();
                self.publish(&mut state)
            };
            if live >= count {
                return;
            }
            // A sleeper that was dropped is only noticed by looking again, hence the bound.
            let _ = tokio::time::timeout(Duration::from_millis(20), sleepers.changed()).await;
        }
    }

    fn publish(&self, state: &mut State) -> usize {
        state.waiting.retain(|(_, wake)| !wake.is_closed());
        let live = state.waiting.len();
        self.inner.sleepers.send_if_modified(|count| std::mem::replace(count, live) != live);
        live
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        let state = self.inner.state.lock();
        state.start + state.elapsed
    }

    fn monotonic(&self) -> Duration {
        self.inner.state.lock().elapsed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = oneshot::channel();
        let mut state = self.inner.state.lock();
        let deadline = state.elapsed + duration;
        state.waiting.push((deadline, wake));
        self.publish(&mut state);
        drop(state);
        Box::pin(async move {
            if woken.await.is_err() {
                // The clock is gone; time will never pass again.
                std::future::pending::<()>().await;
            }
        })
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_exactly_when_their_time_has_come() {
        let clock = ManualClock::at_unix(1000);
        let sleeper = tokio::spawn(clock.sleep(Duration::from_secs(10)));
        clock.wait_for_sleepers(1).await;
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(clock.unix(), 1010);
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
    }
}
