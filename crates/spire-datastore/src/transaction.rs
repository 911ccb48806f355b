//! A transaction, and what it will tell the rest of the process once it is committed.

use sqlx::Sqlite;
use time::OffsetDateTime;

use crate::Result;
use crate::changes::{Change, ChangeSender};
use crate::dialect::Dialect;
use crate::error::DatastoreError;
use crate::sql::{self, Query, Row, Value};

/// An open transaction. Dropped without [`Tx::commit`], everything in it is undone.
pub(crate) struct Tx {
    inner: Inner,
    dialect: Dialect,
    log_sql: bool,
    time: OffsetDateTime,
    stamp: Value,
    changes: Vec<Change>,
    sender: Option<ChangeSender>,
}

enum Inner {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
}

/// Announces the changes even if the committing future is dropped half-way: a spurious nudge costs a query, a lost
/// one a poll interval.
struct AnnounceOnDrop(Option<(ChangeSender, Vec<Change>)>);

impl Drop for AnnounceOnDrop {
    fn drop(&mut self) {
        if let Some((sender, changes)) = self.0.take() {
            sender.send(changes);
        }
    }
}

impl Tx {
    pub(crate) fn sqlite(
        transaction: sqlx::Transaction<'static, Sqlite>,
        time: OffsetDateTime,
        log_sql: bool,
        sender: Option<ChangeSender>,
    ) -> Self {
        let dialect = Dialect::Sqlite;
        let stamp = dialect.time(time);
        Self { inner: Inner::Sqlite(transaction), dialect, log_sql, time, stamp, changes: Vec::new(), sender }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// When the transaction began; what goes into `created_at`.
    pub(crate) fn time(&self) -> OffsetDateTime {
        self.time
    }

    /// [`Tx::time`] ready to be bound.
    pub(crate) fn stamp(&self) -> Value {
        self.stamp.clone()
    }

    /// Notes something to be announced after the commit.
    pub(crate) fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// How many changes are noted; see [`Tx::forget_changes_after`].
    pub(crate) fn change_count(&self) -> usize {
        self.changes.len()
    }

    /// Drops what was noted since [`Tx::change_count`] said `count`, because a savepoint was rolled back.
    pub(crate) fn forget_changes_after(&mut self, count: usize) {
        self.changes.truncate(count);
    }

    /// Runs the statements and returns how many rows the last one touched.
    pub(crate) async fn execute(&mut self, query: Query) -> Result<u64> {
        let mut affected = 0;
        self.run(query, |_, _| Ok(()), |count| affected = count).await?;
        Ok(affected)
    }

    /// Runs the statements and hands every row to `read`, with the position of its statement.
    pub(crate) async fn each(
        &mut self,
        query: Query,
        read: impl FnMut(usize, Row<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        self.run(query, read, |_| ()).await
    }

    /// All rows of one statement.
    pub(crate) async fn all<T: Send>(
        &mut self,
        query: Query,
        mut read: impl FnMut(Row<'_>) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.each(query, |_, row| {
            rows.push(read(row)?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The first row of one statement.
    pub(crate) async fn first<T: Send>(
        &mut self,
        query: Query,
        mut read: impl FnMut(Row<'_>) -> Result<T> + Send,
    ) -> Result<Option<T>> {
        let mut found = None;
        self.each(query, |_, row| {
            if found.is_none() {
                found = Some(read(row)?);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    async fn run(
        &mut self,
        query: Query,
        read: impl FnMut(usize, Row<'_>) -> Result<()> + Send,
        done: impl FnMut(u64) + Send,
    ) -> Result<()> {
        let query = Query { text: self.dialect.placeholders(query.text), ..query };
        match &mut self.inner {
            Inner::Sqlite(transaction) => {
                sql::run_sqlite_many(transaction, query, self.log_sql, read, done).await
            }
        }
    }

    /// Makes everything permanent, then tells the rest of the process.
    pub(crate) async fn commit(self) -> Result<()> {
        let mut announce = AnnounceOnDrop(self.sender.map(|sender| (sender, self.changes)));
        let Inner::Sqlite(transaction) = self.inner;
        if let Err(error) = transaction.commit().await {
            announce.0 = None;
            return Err(DatastoreError::from(error));
        }
        Ok(())
    }
}
