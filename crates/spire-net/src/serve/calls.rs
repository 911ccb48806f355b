//! The calls of one connection.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use hyper::rt::Executor;
use parking_lot::Mutex;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper leaves the calls that have come in.
#[derive(Clone, Default)]
pub(super) struct Arrivals(Arc<Mutex<Vec<Call>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Arrivals {
    fn execute(&self, call: F) {
        // A handler that panics ends its own call, not those beside it.
        let call = AssertUnwindSafe(call).catch_unwind().map(|_| ());
        self.0.lock().push(Box::pin(call));
    }
}

/// The calls under way. Dropping them ends them all.
#[derive(Default)]
pub(super) struct Calls {
    arrivals: Arrivals,
    running: FuturesUnordered<Call>,
}

impl Calls {
    pub(super) fn arrivals(&self) -> Arrivals {
        self.arrivals.clone()
    }

    /// Whether no call is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && !self.have_arrived()
    }

    /// Whether there are calls that have not begun.
    pub(super) fn have_arrived(&self) -> bool {
        !self.arrivals.0.lock().is_empty()
    }

    /// Gets as far as possible with all that can go on.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        self.running.extend(self.arrivals.0.lock().drain(..));
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(context) {}
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // A call holds the place where calls are left. One that never began would hold itself.
        let never_begun = std::mem::take(&mut *self.arrivals.0.lock());
        drop(never_begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_never_began_goes_with_its_connection() {
        // As hyper's do, it holds the place where it was left. A client can end a connection before its calls begin.
        let witness = Arc::new(());
        let calls = Calls::default();
        let held = (Arc::clone(&witness), calls.arrivals());
        calls.arrivals().execute(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        assert!(calls.have_arrived() && !calls.is_idle());
        drop(calls);
        assert_eq!(Arc::strong_count(&witness), 1);
    }
}
