//! Entries of callers that arrive while another transaction is written share the next one: a commit costs more than
//! an entry.

use parking_lot::Mutex;
use spire_types::Entry;
use tokio::sync::oneshot;

use super::CreatedEntry;
use super::create::create;
use crate::store::Datastore;
use crate::{DatastoreError, Result};

type Outcomes = Vec<Result<CreatedEntry>>;

/// What waits for the next transaction.
#[derive(Debug, Default)]
pub(crate) struct Creations(Mutex<Vec<Waiting>>);

#[derive(Debug)]
struct Waiting {
    entries: Vec<Entry>,
    answer: oneshot::Sender<Outcomes>,
}

impl Creations {
    /// Whether the caller is the first one, who has to see to the transaction.
    fn join(&self, waiting: Waiting) -> bool {
        let mut all = self.0.lock();
        all.push(waiting);
        all.len() == 1
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut self.0.lock())
    }
}

/// One outcome for each entry, in their order.
pub(super) async fn create_together(store: &Datastore, entries: Vec<Entry>) -> Outcomes {
    let count = entries.len();
    let (answer, outcome) = oneshot::channel();
    if store.creations().join(Waiting { entries, answer }) {
        // On its own, so that a caller who goes away does not take the others' entries along.
        tokio::spawn(write(store.clone()));
    }
    match outcome.await {
        Ok(outcomes) => outcomes,
        Err(_) => vec![Err(DatastoreError::sql("the transaction was abandoned")); count],
    }
}

async fn write(store: Datastore) {
    let begun = store.begin_write().await;
    // Whoever came while the writer was busy is in, too.
    let waiting = store.creations().take();
    let entries: Vec<&Entry> = waiting.iter().flat_map(|one| &one.entries).collect();
    let written = match begun {
        Ok(mut tx) => match create(&mut tx, &entries).await {
            Ok(outcomes) => tx.commit().await.map(|()| outcomes),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let mut outcomes = written.unwrap_or_else(|error| vec![Err(error); entries.len()]).into_iter();
    for Waiting { entries, answer } in waiting {
        // Nobody waits any more for what a caller gave up.
        let _ = answer.send(outcomes.by_ref().take(entries.len()).collect());
    }
}
