//! One connection on a thread of its own: SQLite waits for files and locks, which tasks must not.
//!
//! Statements run in the order in which they were handed over. Rows come back many at a time: a value that crosses
//! threads by itself costs more than SQLite takes to find it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OpenFlags, Rows};
use tokio::sync::{mpsc, oneshot};

use crate::Result;
use crate::error::DatastoreError;
use crate::sql::{Query, Row, Rowset, Value};

/// Statements kept prepared.
const STATEMENT_CACHE: usize = 256;
/// Statements with more values than this are prepared anew each time: they come in too many shapes to be kept.
const KEEP_PREPARED: usize = 2048;
/// Bytes of text or values of rows after which they are sent.
const BATCH_BYTES: usize = 64 * 1024;
const BATCH_VALUES: usize = 8 * 1024;
/// Batches on their way: one is read while the next one is filled.
const BATCHES: usize = 2;

/// How to open a database.
#[derive(Debug, Clone)]
pub(crate) struct OpenOptions {
    /// A path, or a `file:` URI if the flags say so.
    pub(crate) target: String,
    pub(crate) flags: OpenFlags,
    pub(crate) vfs: Option<String>,
    pub(crate) busy_timeout: Duration,
    /// Names and values, checked by whoever put them in.
    pub(crate) pragmas: Vec<(&'static str, String)>,
}

/// The handle. Dropping it ends the thread and closes the connection.
#[derive(Debug)]
pub(crate) struct Connection {
    jobs: mpsc::UnboundedSender<Job>,
    /// Set while somebody waits for a query, and left so by whoever gave up.
    busy: AtomicBool,
}

enum Job {
    Run {
        query: Query,
        answer: mpsc::Sender<Result<Batch>>,
    },
    /// Undoes the open transaction, if there is one. Nobody waits for it.
    Rollback,
    Close(oneshot::Sender<std::result::Result<(), rusqlite::Error>>),
}

/// Rows of consecutive statements.
#[derive(Default)]
struct Batch {
    rows: Rowset,
    /// Whether everything was run.
    last: bool,
    /// How many rows the last statement touched; only in the last batch.
    affected: u64,
}

impl Connection {
    /// # Errors
    /// SQLite's own.
    pub(crate) async fn open(options: OpenOptions) -> Result<Self> {
        let (jobs, mut incoming) = mpsc::unbounded_channel();
        let (opened, outcome) = oneshot::channel();
        std::thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(move || match options.open() {
                Ok(connection) => {
                    if opened.send(Ok(())).is_ok() {
                        serve(connection, &mut incoming);
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(|error| DatastoreError::sql(format!("cannot start SQLite's thread: {error}")))?;
        outcome.await.map_err(|_| gone())??;
        Ok(Self { jobs, busy: AtomicBool::new(false) })
    }

    /// Runs the statements of the query and hands every row to `read`, with the position of its statement. Returns
    /// how many rows the last statement touched. What comes after a statement that failed is not run.
    ///
    /// Safe to cancel: a transaction stays open, and reading stops.
    pub(crate) async fn run(
        &self,
        query: Query,
        mut read: impl FnMut(usize, Row<'_>) -> Result<()> + Send,
    ) -> Result<u64> {
        let (answer, mut batches) = mpsc::channel(BATCHES);
        self.busy.store(true, Ordering::Relaxed);
        self.jobs.send(Job::Run { query, answer }).map_err(|_| gone())?;
        loop {
            let batch = batches.recv().await.ok_or_else(gone)?.inspect_err(|_| {
                // Nothing more is run after a failure.
                self.busy.store(false, Ordering::Relaxed);
            })?;
            for (statement, row) in batch.rows.iter() {
                read(statement, row)?;
            }
            if batch.last {
                self.busy.store(false, Ordering::Relaxed);
                return Ok(batch.affected);
            }
        }
    }

    /// Whether it may still be at work for somebody who gave up.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Whether its thread still takes statements.
    pub(crate) fn is_alive(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Has the open transaction undone before anything else is run. Says whether that is certain.
    pub(crate) fn roll_back(&self) -> bool {
        self.jobs.send(Job::Rollback).is_ok()
    }

    pub(crate) async fn close(self) -> Result<()> {
        let (answer, closed) = oneshot::channel();
        self.jobs.send(Job::Close(answer)).map_err(|_| gone())?;
        Ok(closed.await.map_err(|_| gone())??)
    }
}

fn gone() -> DatastoreError {
    DatastoreError::sql("the database connection is closed")
}

impl OpenOptions {
    fn open(self) -> Result<rusqlite::Connection> {
        let connection = match self.vfs {
            Some(vfs) => {
                rusqlite::Connection::open_with_flags_and_vfs(self.target, self.flags, vfs.as_str())?
            }
            None => rusqlite::Connection::open_with_flags(self.target, self.flags)?,
        };
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        for (name, value) in self.pragmas {
            connection.execute_batch(&format!("PRAGMA {name} = {value}"))?;
        }
        Ok(connection)
    }
}

fn serve(connection: rusqlite::Connection, jobs: &mut mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        match job {
            // Given up before its turn came.
            Job::Run { answer, .. } if answer.is_closed() => {}
            Job::Run { query, answer } => match run(&connection, &query, &answer) {
                // Whoever does not listen any more has no need of the rest.
                Ok(batch) => drop(answer.blocking_send(Ok(batch))),
                Err(Stop::Failed(error)) => drop(answer.blocking_send(Err(error))),
                Err(Stop::Abandoned) => {}
            },
            // Without a transaction, because its beginning failed, there is nothing to undo.
            Job::Rollback => {
                let undone = connection.execute_batch("ROLLBACK");
                if !connection.is_autocommit() {
                    tracing::error!(subsystem_name = "sql", outcome = ?undone, "A transaction could not be undone; its connection is closed");
                    return;
                }
            }
            Job::Close(answer) => {
                let _ = answer.send(connection.close().map_err(|(_, error)| error));
                return;
            }
        }
    }
}

/// Why a query ends before its end.
enum Stop {
    Failed(DatastoreError),
    /// Nobody waits for the rows.
    Abandoned,
}

impl<E: Into<DatastoreError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs every statement, sends full batches and returns the last one.
fn run(
    connection: &rusqlite::Connection,
    query: &Query,
    answer: &mpsc::Sender<Result<Batch>>,
) -> std::result::Result<Batch, Stop> {
    let keep_prepared = query.values.len() <= KEEP_PREPARED;
    let mut values = query.values.iter();
    let mut batch = Batch::default();
    for (position, text) in query.statements().enumerate() {
        // The cache would take away the space at the end, which SQLite keeps with the schema.
        if keep_prepared && !text.starts_with("CREATE ") {
            step(&mut *connection.prepare_cached(text)?, position, &mut values, &mut batch, answer)?;
        } else {
            step(&mut connection.prepare(text)?, position, &mut values, &mut batch, answer)?;
        }
    }
    (batch.last, batch.affected) = (true, connection.changes());
    Ok(batch)
}

fn step<'v>(
    statement: &mut rusqlite::Statement<'_>,
    position: usize,
    values: &mut impl Iterator<Item = &'v Value>,
    batch: &mut Batch,
    answer: &mpsc::Sender<Result<Batch>>,
) -> std::result::Result<(), Stop> {
    for index in 1..=statement.parameter_count() {
        let value = values.next().ok_or_else(|| DatastoreError::sql("a statement lacks a value"))?;
        statement.raw_bind_parameter(index, value)?;
    }
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    while take(&mut rows, position, columns, &mut batch.rows)? {
        if batch.rows.bytes() >= BATCH_BYTES || batch.rows.values() >= BATCH_VALUES {
            answer.blocking_send(Ok(std::mem::take(batch))).map_err(|_| Stop::Abandoned)?;
        }
    }
    Ok(())
}

/// Copies the next row, if there is one.
fn take(rows: &mut Rows<'_>, position: usize, columns: usize, into: &mut Rowset) -> Result<bool> {
    let Some(row) = rows.next()? else { return Ok(false) };
    into.begin_row(position);
    for column in 0..columns {
        match row.get_ref(column)? {
            ValueRef::Null => into.push_null(),
            ValueRef::Integer(value) => into.push_int(value),
            // No column of ours; a number that somebody wrote by hand counts without its fraction, as in SQLite.
            ValueRef::Real(value) => into.push_int(value as i64),
            ValueRef::Text(text) => into.push_text(text)?,
            ValueRef::Blob(bytes) => into.push_bytes(bytes)?,
        }
    }
    Ok(true)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn in_memory() -> Connection {
        let options = OpenOptions {
            target: ":memory:".into(),
            flags: OpenFlags::default(),
            vfs: None,
            busy_timeout: Duration::ZERO,
            pragmas: vec![("foreign_keys", "ON".into())],
        };
        Connection::open(options).await.unwrap()
    }

    async fn texts(connection: &Connection, query: Query) -> Result<Vec<(usize, String)>> {
        let mut found = Vec::new();
        connection
            .run(query, |statement, row| {
                found.push((statement, row.text(0)?.to_owned()));
                Ok(())
            })
            .await?;
        Ok(found)
    }

    #[tokio::test]
    async fn values_go_to_the_statements_in_order_and_every_row_comes_back() {
        let connection = in_memory().await;
        let query = Query::new(
            "CREATE TABLE t (id integer primary key, v text); INSERT INTO t (v) VALUES (?), (?); UPDATE t SET v = v || ?",
        );
        let touched = connection.run(query.bind("a").bind("b").bind("!"), |_, _| Ok(())).await.unwrap();
        assert_eq!(touched, 2);
        let query = Query::new("SELECT v FROM t WHERE id = ?; SELECT v FROM t WHERE id = ?;").bind(2).bind(1);
        assert_eq!(texts(&connection, query).await.unwrap(), [(0, "b!".to_owned()), (1, "a!".to_owned())]);
        // Far more than fits one batch.
        let many = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 50000) \
                    SELECT 'row ' || x FROM n";
        let rows = texts(&connection, Query::new(many)).await.unwrap();
        assert_eq!((rows.len(), rows[49_999].1.as_str()), (50_000, "row 50000"));
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_statement_is_the_last_one_and_names_what_it_broke() {
        let connection = in_memory().await;
        let query = Query::new(
            "CREATE TABLE t (v text UNIQUE); INSERT INTO t VALUES ('a'); INSERT INTO t VALUES ('a'); DROP TABLE t",
        );
        let error = connection.run(query, |_, _| Ok(())).await.unwrap_err();
        assert_eq!(error.to_string(), "datastore-sql: UNIQUE constraint failed: t.v");
        assert_eq!(error.code(), crate::Code::AlreadyExists);
        assert_eq!(texts(&connection, Query::new("SELECT v FROM t")).await.unwrap().len(), 1);
        let error = texts(&connection, Query::new("SELECT missing FROM t")).await.unwrap_err();
        assert_eq!(error.to_string(), "datastore-sql: no such column: missing");
    }

    #[tokio::test]
    async fn a_reader_who_gives_up_leaves_the_connection_usable() {
        let connection = in_memory().await;
        let endless =
            "BEGIN; WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 'x' FROM n";
        let error =
            connection.run(Query::new(endless), |_, _| Err(DatastoreError::sql("enough"))).await.unwrap_err();
        assert_eq!(error.to_string(), "datastore-sql: enough");
        assert!(connection.is_busy() && connection.is_alive());
        assert!(connection.roll_back());
        connection.run(Query::new("BEGIN IMMEDIATE; SELECT 1; COMMIT"), |_, _| Ok(())).await.unwrap();
        assert!(!connection.is_busy());
    }
}
