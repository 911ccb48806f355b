//! Background work that compares what is with what should be, on a timer or when nudged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::SharedClock;
use crate::shutdown::Shutdown;

/// Asks a reconciler to look now instead of at its next tick. Many nudges before it looks count as one.
///
/// Create it first and hand out clones, so that tasks may nudge each other regardless of who starts first.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Pending>);

#[derive(Debug, Default)]
struct Pending {
    asked: AtomicBool,
    wake: Notify,
}

impl Nudge {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn nudge(&self) {
        self.0.asked.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    /// Completes at the next nudge; at once if one came since the last time.
    pub async fn nudged(&self) {
        // The wake-up of a nudge that was already served may still be stored, hence the flag.
        while !self.0.asked.swap(false, Ordering::AcqRel) {
            self.0.wake.notified().await;
        }
    }
}

/// Runs `pass` every `period`, or earlier when nudged, until `shutdown`. The first pass comes after one period.
///
/// A pass that has begun is always finished: stopping is only observed between passes.
pub async fn every<F, Fut>(
    clock: &SharedClock,
    period: Duration,
    nudge: &Nudge,
    shutdown: &Shutdown,
    mut pass: F,
) where
    F: FnMut() -> Fut,
    Fut: Future<Output = ()>,
{
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = nudge.nudged() => {}
            () = clock.sleep(period) => {}
        }
        pass().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    async fn a_pass_runs_per_period_and_per_nudge_until_shutdown() {
        let clock = ManualClock::at_unix(0);
        let (nudge, shutdown, passes) = (Nudge::new(), Shutdown::new(), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn({
            let (clock, nudge, shutdown, passes) =
                (clock.shared(), nudge.clone(), shutdown.clone(), passes.clone());
            async move {
                every(&clock, Duration::from_secs(10), &nudge, &shutdown, || async {
                    passes.fetch_add(1, Ordering::SeqCst);
                })
                .await;
            }
        });
        clock.wait_for_sleepers(1).await;
        assert_eq!(passes.load(Ordering::SeqCst), 0);
        clock.advance(Duration::from_secs(10));
        while passes.load(Ordering::SeqCst) < 1 {
            tokio::task::yield_now().await;
        }
        nudge.nudge();
        nudge.nudge();
        while passes.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        clock.wait_for_sleepers(1).await;
        shutdown.trigger();
        task.await.unwrap();
        assert_eq!(passes.load(Ordering::SeqCst), 2);
    }
}
