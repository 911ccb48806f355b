//! A transaction, and what it will tell the rest of the process once it is committed.

use time::OffsetDateTime;

use crate::Result;
use crate::changes::{Change, ChangeSender};
use crate::dialect::Dialect;
use crate::dialect::sqlite::Lent;
use crate::sql::{Query, Row, Value};

/// A transaction. Dropped without [`Tx::commit`] or [`Tx::finish`], everything in it is undone.
///
/// It begins with its first statement and may end with its last, so that neither costs a round trip of its own.
pub(crate) struct Tx {
    inner: Inner,
    /// How to begin; empty once that was done.
    begin: &'static str,
    dialect: Dialect,
    log_sql: bool,
    time: OffsetDateTime,
    stamp: Value,
    /// Statements that can wait for the next ones or the commit.
    deferred: Option<Query>,
    changes: Vec<Change>,
    sender: Option<ChangeSender>,
}

enum Inner {
    Sqlite(Lent),
}

/// Announces the changes even if the committing future is dropped half-way, or what it read makes no sense: a spurious
/// nudge costs a query, a lost one a poll interval.
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
        lent: Lent,
        begin: &'static str,
        time: OffsetDateTime,
        log_sql: bool,
        sender: Option<ChangeSender>,
    ) -> Self {
        let dialect = Dialect::Sqlite;
        let stamp = dialect.time(time);
        Self {
            inner: Inner::Sqlite(lent),
            begin,
            dialect,
            log_sql,
            time,
            stamp,
            deferred: None,
            changes: Vec::new(),
            sender,
        }
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
        self.run(query, |_, _| Ok(())).await
    }

    /// Runs the statements no later than with the commit, and reports their failure there.
    pub(crate) async fn defer(&mut self, query: Query) -> Result<()> {
        self.flush().await?;
        self.deferred = Some(query);
        Ok(())
    }

    /// Runs what was deferred.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        match self.deferred.take() {
            Some(query) => self.run_now(query, |_, _| Ok(())).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Runs the statements and hands every row to `read`, with the position of its statement.
    pub(crate) async fn each(
        &mut self,
        query: Query,
        read: impl FnMut(usize, Row<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        self.run(query, read).await.map(|_| ())
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
    ) -> Result<u64> {
        self.flush().await?;
        self.run_now(query, read).await
    }

    async fn run_now(
        &mut self,
        query: Query,
        mut read: impl FnMut(usize, Row<'_>) -> Result<()> + Send,
    ) -> Result<u64> {
        let begin = std::mem::take(&mut self.begin);
        let text = match begin {
            "" => query.text,
            begin => format!("{begin};{}", query.text).into(),
        };
        let skip = usize::from(!begin.is_empty());
        let query = Query { text: self.dialect.placeholders(text), values: query.values };
        if self.log_sql {
            query.log();
        }
        let read = |statement: usize, row: Row<'_>| read(statement.saturating_sub(skip), row);
        match &mut self.inner {
            Inner::Sqlite(lent) => {
                lent.in_transaction = true;
                lent.connection()?.run(query, read).await
            }
        }
    }

    /// Makes everything permanent, then tells the rest of the process.
    pub(crate) async fn commit(self) -> Result<()> {
        let mut tx = self;
        match (tx.begin, tx.deferred.take()) {
            (_, Some(query)) => tx.finish(query, |_, _| Ok(())).await,
            ("", None) => tx.finish(Query::build(), |_, _| Ok(())).await,
            // Nothing was done.
            (_, None) => Ok(()),
        }
    }

    /// Runs the last statements, makes everything permanent, then tells the rest of the process.
    pub(crate) async fn finish(
        mut self,
        mut query: Query,
        read: impl FnMut(usize, Row<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        self.flush().await?;
        let changes = std::mem::take(&mut self.changes);
        let _announce = AnnounceOnDrop(self.sender.clone().map(|sender| (sender, changes)));
        if query.text.is_empty() || query.text.ends_with(';') {
            query.push("COMMIT");
        } else {
            query.push(";COMMIT");
        }
        self.run(query, read).await?;
        let Inner::Sqlite(lent) = &mut self.inner;
        lent.in_transaction = false;
        Ok(())
    }
}
