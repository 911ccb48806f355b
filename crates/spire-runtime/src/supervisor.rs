//! One tree of named tasks: a task that ends early or panics takes all of them down (A8, SC-551).

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::shutdown::Shutdown;

/// When a task is told to stop; a stage is told once the one before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Takes requests from outside: listeners.
    Front,
    /// Does the work: rotation, synchronisation.
    Work,
    /// What the others need until the end: stores, logs.
    Support,
}

const STAGES: [Stage; 3] = [Stage::Front, Stage::Work, Stage::Support];

/// The first task that failed, and how.
#[derive(Debug)]
pub struct TaskFailed {
    /// The name the task was spawned with.
    pub task: &'static str,
    pub cause: Cause,
}

/// How a task failed.
#[derive(Debug)]
pub enum Cause {
    /// It returned an error.
    Error(Box<dyn Error + Send + Sync>),
    /// It panicked, with this message.
    Panicked(String),
    /// It returned although nobody had asked it to stop.
    EndedEarly,
    /// It was told to stop and did not in time, so it was cut off.
    Overdue,
}

impl fmt::Display for TaskFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            // The text of the task itself: operators know it from SPIRE (SC-539).
            Cause::Error(error) => write!(f, "{error}"),
            Cause::Panicked(message) => write!(f, "panic: {message} (in task {:?})", self.task),
            Cause::EndedEarly => write!(f, "task {:?} ended although nothing asked it to", self.task),
            Cause::Overdue => write!(f, "task {:?} did not stop in time and was cut off", self.task),
        }
    }
}

impl Error for TaskFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Error(error) => error.source(),
            _ => None,
        }
    }
}

/// Owns all background tasks of an engine. Clones spawn into the same tree.
#[derive(Debug, Clone)]
pub struct Supervisor {
    shutdown: Shutdown,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stages: [Shutdown; 3],
    ended: mpsc::UnboundedSender<Ended>,
    inbox: Mutex<Option<mpsc::UnboundedReceiver<Ended>>>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    tasks: Vec<Task>,
}

#[derive(Debug)]
struct Task {
    id: u64,
    name: &'static str,
    stage: Stage,
    abort: AbortHandle,
}

#[derive(Debug)]
struct Ended {
    id: u64,
    name: &'static str,
    may_end: bool,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Finished,
    Failed(Cause),
    Aborted,
}

impl Supervisor {
    /// `shutdown` is the order to stop everything; a failing task gives it too.
    pub fn new(shutdown: Shutdown) -> Self {
        let (ended, inbox) = mpsc::unbounded_channel();
        let stages = [Shutdown::new(), Shutdown::new(), Shutdown::new()];
        let shared =
            Shared { stages, ended, inbox: Mutex::new(Some(inbox)), running: Mutex::new(Running::default()) };
        Self { shutdown, shared: Arc::new(shared) }
    }

    /// The order to stop everything.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task of stage [`Stage::Work`].
    pub fn spawn<F, Fut, E>(&self, name: &'static str, task: F)
    where
        F: FnOnce(Shutdown) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.spawn_in(Stage::Work, name, task);
    }

    /// Starts a task that must run until its [`Shutdown`] says otherwise. Ending earlier, with an error or without,
    /// and panicking stop the whole tree.
    pub fn spawn_in<F, Fut, E>(&self, stage: Stage, name: &'static str, task: F)
    where
        F: FnOnce(Shutdown) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.start(stage, name, false, task);
    }

    /// Starts a task that may end when it has nothing left to do, such as a health listener that could not bind.
    /// An error or a panic still stops the tree.
    pub fn spawn_optional<F, Fut, E>(&self, stage: Stage, name: &'static str, task: F)
    where
        F: FnOnce(Shutdown) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.start(stage, name, true, task);
    }

    fn start<F, Fut, E>(&self, stage: Stage, name: &'static str, may_end: bool, task: F)
    where
        F: FnOnce(Shutdown) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let order = self.shared.stages[stage as usize].clone();
        let work = task(order);
        let mut running = self.shared.running.lock();
        let id = running.next;
        running.next += 1;
        let mut report =
            Report { ended: self.shared.ended.clone(), id, name, may_end, outcome: Outcome::Aborted };
        let handle = tokio::spawn(async move {
            report.outcome = caught(work).await;
            drop(report);
        });
        running.tasks.push(Task { id, name, stage, abort: handle.abort_handle() });
    }

    /// Waits for the order to stop or the first failure, then stops stage by stage. A stage that has not ended
    /// `deadline` after it was told is cut off, so this takes at most three deadlines.
    ///
    /// Returns the first failure. Only one of all clones can join; for the others this returns at once.
    pub async fn join(self, deadline: Duration) -> Result<(), TaskFailed> {
        let Some(mut inbox) = self.shared.inbox.lock().take() else { return Ok(()) };
        let mut first = None;
        while !self.shutdown.is_cancelled() {
            tokio::select! {
                biased;
                Some(ended) = inbox.recv() => self.note(ended, &mut first, false),
                () = self.shutdown.cancelled() => {}
            }
            if first.is_some() {
                self.shutdown.trigger();
            }
        }
        for stage in STAGES {
            self.shared.stages[stage as usize].trigger();
            let patience = tokio::time::sleep(deadline);
            let mut patience = pin!(patience);
            while self.count(stage) > 0 {
                tokio::select! {
                    biased;
                    Some(ended) = inbox.recv() => self.note(ended, &mut first, true),
                    () = &mut patience => {
                        self.cut_off(stage, &mut first);
                        break;
                    }
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn count(&self, stage: Stage) -> usize {
        self.shared.running.lock().tasks.iter().filter(|task| task.stage == stage).count()
    }

    fn note(&self, ended: Ended, first: &mut Option<TaskFailed>, stopping: bool) {
        let known = {
            let mut running = self.shared.running.lock();
            let before = running.tasks.len();
            running.tasks.retain(|task| task.id != ended.id);
            before != running.tasks.len()
        };
        if !known {
            return;
        }
        let cause = match ended.outcome {
            Outcome::Failed(cause) => cause,
            Outcome::Finished if stopping || ended.may_end => return,
            Outcome::Finished => Cause::EndedEarly,
            Outcome::Aborted if stopping => return,
            Outcome::Aborted => Cause::EndedEarly,
        };
        let failed = TaskFailed { task: ended.name, cause };
        tracing::debug!(task = failed.task, error = %failed, "Task failed");
        first.get_or_insert(failed);
    }

    fn cut_off(&self, stage: Stage, first: &mut Option<TaskFailed>) {
        let mut running = self.shared.running.lock();
        running.tasks.retain(|task| {
            if task.stage != stage {
                return true;
            }
            task.abort.abort();
            tracing::warn!(task = task.name, "Task did not stop in time and was cut off");
            first.get_or_insert(TaskFailed { task: task.name, cause: Cause::Overdue });
            false
        });
    }
}

/// Reports the end of a task however it came about, being aborted included.
struct Report {
    ended: mpsc::UnboundedSender<Ended>,
    id: u64,
    name: &'static str,
    may_end: bool,
    outcome: Outcome,
}

impl Drop for Report {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Aborted);
        let ended = Ended { id: self.id, name: self.name, may_end: self.may_end, outcome };
        // Nobody listens any more once the tree was joined.
        let _ = self.ended.send(ended);
    }
}

async fn caught<Fut, E>(work: Fut) -> Outcome
where
    Fut: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut work = pin!(work);
    poll_fn(|context| {
        // The future is dropped after a panic and never polled again, so no broken state is seen.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Poll::Ready(Outcome::Finished),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Outcome::Failed(Cause::Error(error.into()))),
            Err(panic) => Poll::Ready(Outcome::Failed(Cause::Panicked(panic_message(&*panic)))),
        }
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "(no message)".to_owned()
    }
}

#[cfg(test)]
mod tests;
