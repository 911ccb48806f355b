//! Writes of callers that arrive while another transaction is written share the next one: a commit costs more than
//! what is in it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::store::Datastore;
use crate::transaction::Tx;
use crate::{DatastoreError, Result};

/// What waits for the next transaction.
pub(crate) struct Group<T, R>(Mutex<Vec<Waiting<T, R>>>);

struct Waiting<T, R> {
    input: T,
    answer: oneshot::Sender<R>,
}

impl<T, R> std::fmt::Debug for Group<T, R> {
    /// What waits may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl<T, R> Default for Group<T, R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static, R: Send + 'static> Group<T, R> {
    /// Has `write` see to this input together with those of other callers, one answer for each input, in their order.
    pub(crate) async fn write<W, F>(self: &Arc<Self>, store: &Datastore, input: T, write: W) -> Result<R>
    where
        W: FnOnce(Result<Tx>, Vec<T>) -> F + Send + 'static,
        F: Future<Output = Vec<R>> + Send + 'static,
    {
        let (answer, outcome) = oneshot::channel();
        if self.join(Waiting { input, answer }) {
            // On its own, so that a caller who goes away does not take the others' writes along.
            tokio::spawn(Self::run(Arc::clone(self), store.clone(), write));
        }
        outcome.await.map_err(|_| DatastoreError::sql("the transaction was abandoned"))
    }

    /// Whether the caller is the first one, who has to see to the transaction.
    fn join(&self, waiting: Waiting<T, R>) -> bool {
        let mut all = self.0.lock();
        all.push(waiting);
        all.len() == 1
    }

    async fn run<W, F>(self: Arc<Self>, store: Datastore, write: W)
    where
        W: FnOnce(Result<Tx>, Vec<T>) -> F + Send + 'static,
        F: Future<Output = Vec<R>> + Send + 'static,
    {
        let begun = store.begin_write().await;
        // Whoever came while the writer was busy is in, too.
        let waiting = std::mem::take(&mut *self.0.lock());
        let (inputs, answers): (Vec<T>, Vec<_>) =
            waiting.into_iter().map(|waiting| (waiting.input, waiting.answer)).unzip();
        for (answer, outcome) in answers.into_iter().zip(write(begun, inputs).await) {
            // Nobody waits any more for what a caller gave up.
            let _ = answer.send(outcome);
        }
    }
}
