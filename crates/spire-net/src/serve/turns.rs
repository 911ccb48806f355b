//! HTTP/2 and the calls that it carries, by turns in one task.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

use super::calls::{Arrivals, Calls};

/// Turns before other tasks of the thread get theirs.
const TURNS: usize = 16;

/// Lets the connection read, the calls work on what came and the connection write, until there is no more to do.
pub(super) struct Turns {
    calls: Calls,
    bell: Arc<Bell>,
    of_connection: Waker,
    of_calls: Waker,
}

/// Rung by the connection for its calls and the other way round, which is no reason to schedule the task anew, and by
/// everybody else.
struct Bell {
    connection: AtomicBool,
    calls: AtomicBool,
    /// Somebody is going to look whether it was rung.
    attended: AtomicBool,
    task: AtomicWaker,
}

impl Bell {
    fn ring(&self, for_whom: &AtomicBool) {
        for_whom.store(true, Ordering::SeqCst);
        if !self.attended.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

/// Rings for the calls.
impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring(&self.calls);
    }
}

/// Rings for the connection.
struct OfConnection(Arc<Bell>);

impl Wake for OfConnection {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.ring(&self.0.connection);
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell {
            connection: AtomicBool::new(true),
            calls: AtomicBool::new(false),
            attended: AtomicBool::new(false),
            task: AtomicWaker::new(),
        });
        Self {
            calls: Calls::default(),
            of_connection: Waker::from(Arc::new(OfConnection(bell.clone()))),
            of_calls: Waker::from(bell.clone()),
            bell,
        }
    }

    /// Where the connection leaves its calls.
    pub(super) fn arrivals(&self) -> Arrivals {
        self.calls.arrivals()
    }

    /// Whether the connection carries no call.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_idle()
    }

    /// Has the connection look up, because something was done to it.
    pub(super) fn nudge(&self) {
        self.of_connection.wake_by_ref();
    }

    /// Goes on until the connection has ended; `after` follows each of its turns. Safe to cancel and to call again.
    pub(super) async fn drive<H: Future>(
        &mut self,
        mut connection: Pin<&mut H>,
        mut after: impl FnMut(&mut Context<'_>),
    ) -> H::Output {
        std::future::poll_fn(|context| self.poll(connection.as_mut(), &mut after, context)).await
    }

    fn poll<H: Future>(
        &mut self,
        mut connection: Pin<&mut H>,
        after: &mut impl FnMut(&mut Context<'_>),
        context: &mut Context<'_>,
    ) -> Poll<H::Output> {
        self.bell.task.register(context.waker());
        self.bell.attended.store(true, Ordering::SeqCst);
        for _ in 0..TURNS {
            // First the calls: all that they have to say can be written together.
            if self.bell.calls.swap(false, Ordering::SeqCst) {
                self.calls.poll(&mut Context::from_waker(&self.of_calls));
            } else if self.bell.connection.swap(false, Ordering::SeqCst) {
                let mut turn = Context::from_waker(&self.of_connection);
                let ended = connection.as_mut().poll(&mut turn);
                if ended.is_ready() {
                    return ended;
                }
                after(&mut turn);
                if self.calls.have_arrived() {
                    self.bell.calls.store(true, Ordering::SeqCst);
                }
            } else if self.leave() {
                return Poll::Pending;
            }
        }
        self.bell.attended.store(false, Ordering::SeqCst);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether nobody rang at the last moment, who would have relied on our looking.
    fn leave(&self) -> bool {
        self.bell.attended.store(false, Ordering::SeqCst);
        let rung = self.bell.connection.load(Ordering::SeqCst) || self.bell.calls.load(Ordering::SeqCst);
        self.bell.attended.store(rung, Ordering::SeqCst);
        !rung
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use hyper::rt::Executor as _;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Ends once it was told to; passes on what it gets to the call that it made.
    #[tokio::test]
    async fn calls_run_within_their_connection_and_wake_it() {
        let mut turns = Turns::new();
        let arrivals = turns.arrivals();
        let (from_call, mut of_call) = mpsc::unbounded_channel();
        let (from_outside, of_outside) = oneshot::channel::<u32>();
        let mut begun = Some((from_call, of_outside));
        let connection = std::future::poll_fn(move |context| {
            if let Some((answer, question)) = begun.take() {
                arrivals.execute(async move {
                    let number = question.await.unwrap();
                    tokio::task::yield_now().await;
                    answer.send(number + 1).unwrap();
                });
            }
            of_call.poll_recv(context).map(Option::unwrap)
        });
        let other = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            from_outside.send(41).unwrap();
        });
        let mut connection = std::pin::pin!(connection);
        assert_eq!(turns.drive(connection.as_mut(), |_| ()).await, 42);
        other.await.unwrap();
    }

    #[tokio::test]
    async fn a_call_that_panics_ends_alone() {
        let mut turns = Turns::new();
        let (done, mut is_done) = oneshot::channel();
        turns.arrivals().execute(async { panic!("a defect") });
        turns.arrivals().execute(async move { done.send(()).unwrap() });
        let connection = std::pin::pin!(std::future::poll_fn(|context| Pin::new(&mut is_done).poll(context)));
        turns.drive(connection, |_| ()).await.unwrap();
    }

    #[tokio::test]
    async fn others_get_their_turn_however_busy_a_connection_is() {
        let mut turns = Turns::new();
        let mut polls = 0;
        let busy = std::future::poll_fn(|context: &mut Context<'_>| {
            polls += 1;
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let mut busy = std::pin::pin!(busy);
        assert!(futures::poll!(std::pin::pin!(turns.drive(busy.as_mut(), |_| ()))).is_pending());
        assert_eq!(polls, TURNS);
    }
}
