use tokio_util::sync::CancellationToken;

/// The order to stop, shared by everyone who must hear it.
///
/// Clones hear the same order. A [`child`](Self::child) hears it too but can be stopped alone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Completes once the order was given; at once if it was given before.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Gives the order. Repeating it has no effect (SC-510).
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// A part that stops with the whole, or earlier.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Runs `work` unless the order comes first; `None` means it came first and `work` was dropped.
    pub async fn unless_cancelled<F: Future>(&self, work: F) -> Option<F::Output> {
        self.0.run_until_cancelled(work).await
    }
}
