//! Memory of closed connections goes back to the system.
//!
//! The allocator keeps what was freed for later. When thousands of workloads have gone, that is most of what the process
//! has, and nobody else on the node gets it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// The memory of fewer connections is not worth the effort.
const MANY: usize = 128;
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Watches how many connections there are; does nothing, and wakes nobody, as long as they are few.
#[derive(Debug, Default)]
pub(super) struct Memory {
    open: Arc<()>,
    /// The most connections since memory was given back.
    peak: usize,
    look: Option<Pin<Box<Sleep>>>,
}

impl Memory {
    /// To be held by a new connection for as long as it lasts.
    pub(super) fn opened(&mut self) -> Arc<()> {
        let guard = Arc::clone(&self.open);
        self.peak = self.peak.max(self.count());
        guard
    }

    fn count(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    /// Looks whether it is time; wakes the task when it may be again.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        while self.peak >= MANY {
            let look = self.look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK_EVERY)));
            if look.as_mut().poll(context) == Poll::Pending {
                return;
            }
            self.look = None;
            if self.is_due() {
                tokio::task::spawn_blocking(give_back);
            }
        }
        self.look = None;
    }

    /// Whether most connections of the peak have closed; the peak begins anew then.
    fn is_due(&mut self) -> bool {
        let count = self.count();
        let due = count < self.peak / 2;
        if due {
            self.peak = count;
        }
        due
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: the function has no preconditions and may be called by any thread.
    #[expect(unsafe_code, reason = "the allocator of the C library has no safe interface")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators give back on their own, or not at all.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_once_most_connections_have_closed() {
        let mut memory = Memory::default();
        let mut open: Vec<_> = (0..1000).map(|_| memory.opened()).collect();
        assert!(!memory.is_due());
        open.truncate(500);
        assert!(!memory.is_due());
        open.truncate(499);
        assert!(memory.is_due());
        assert!(!memory.is_due(), "not again for the same");
        open.clear();
        assert!(memory.is_due());
        give_back();
    }

    #[tokio::test(start_paused = true)]
    async fn few_connections_wake_nobody_and_many_are_looked_at() {
        let mut memory = Memory::default();
        let mut context = Context::from_waker(std::task::Waker::noop());
        let few: Vec<_> = (0..MANY - 1).map(|_| memory.opened()).collect();
        memory.poll(&mut context);
        assert!(memory.look.is_none());
        let more = memory.opened();
        memory.poll(&mut context);
        assert!(memory.look.is_some());
        drop((few, more));
        tokio::time::advance(LOOK_EVERY).await;
        memory.poll(&mut context);
        assert!((memory.look.is_none(), memory.peak) == (true, 0));
    }
}
