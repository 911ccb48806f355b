//! Connections that are lent out and come back. They need no sign of life: an embedded database has no network that
//! could have gone away meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Connection, OpenOptions};
use crate::Result;
use crate::error::DatastoreError;

/// How long an operation waits for its turn before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many connections there may be and how long they last.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) max_open: u32,
    /// Closes connections that nobody used for so long; `None` keeps them.
    pub(crate) max_idle_time: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
}

/// Interchangeable connections to one file.
#[derive(Debug)]
pub(crate) struct Connections {
    options: OpenOptions,
    limits: Limits,
    permits: Arc<Semaphore>,
    /// Most recently used last.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    opened: Instant,
    since: Instant,
}

impl Connections {
    pub(crate) fn new(options: OpenOptions, limits: Limits) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(limits.max_open as usize));
        Arc::new(Self { options, limits, permits, idle: Mutex::default() })
    }

    /// Waits for a free connection, or opens one if there may be more.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Lent> {
        let permit =
            match tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => return Err(DatastoreError::sql("the database is closed")),
                Err(_) => {
                    return Err(DatastoreError::sql(
                        "no database connection became free in time; raise max_open_conns or reduce load",
                    ));
                }
            };
        let idle = self.idle.lock().pop();
        let young = |idle: &Idle| self.limits.max_lifetime.is_none_or(|limit| idle.opened.elapsed() < limit);
        let (connection, opened) = match idle {
            Some(idle) if young(&idle) => (idle.connection, idle.opened),
            _ => (Connection::open(self.options.clone()).await?, Instant::now()),
        };
        Ok(Lent {
            connection: Some(connection),
            opened,
            home: Arc::clone(self),
            in_transaction: false,
            _permit: permit,
        })
    }

    /// Waits until everything is back and closes it.
    pub(crate) async fn close(&self) {
        // Already closed is as good.
        let all = self.permits.acquire_many(self.limits.max_open).await;
        self.permits.close();
        drop(all);
        let idle = std::mem::take(&mut *self.idle.lock());
        for idle in idle {
            if let Err(error) = idle.connection.close().await {
                tracing::warn!(subsystem_name = "sql", error = %error, "Failed to close a database connection");
            }
        }
    }

    fn take_back(&self, connection: Connection, opened: Instant) {
        let mut idle = self.idle.lock();
        let Some(limit) = self.limits.max_idle_time else {
            idle.push(Idle { connection, opened, since: Instant::now() });
            return;
        };
        if !limit.is_zero() {
            idle.push(Idle { connection, opened, since: Instant::now() });
        }
        let outdated = idle.partition_point(|idle| idle.since.elapsed() >= limit);
        idle.drain(..outdated);
    }
}

/// A borrowed connection. An open transaction is undone when it goes back.
#[derive(Debug)]
pub(crate) struct Lent {
    connection: Option<Connection>,
    opened: Instant,
    home: Arc<Connections>,
    pub(crate) in_transaction: bool,
    // Given back after the connection, so that the next one finds it.
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// # Errors
    /// None as long as it is lent.
    pub(crate) fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| DatastoreError::sql("the database connection is closed"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // Its thread works in order: whoever gets the connection next finds it done.
        let undone = !self.in_transaction || connection.roll_back();
        // A reader whose query was given up may be at it for long; another one is opened instead.
        let is_free = !connection.is_busy() || self.home.limits.max_idle_time.is_none();
        if !undone || !is_free || !connection.is_alive() {
            return;
        }
        self.home.take_back(connection, self.opened);
    }
}
