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

/// The calls under way.
#[derive(Default)]
pub(super) struct Calls {
    arrivals: Arrivals,
    running: FuturesUnordered<Call>,
}

impl Calls {
    pub(super) fn arrivals(&self) -> Arrivals {
        self.arrivals.clone()
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
