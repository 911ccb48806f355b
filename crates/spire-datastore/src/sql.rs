//! Statements, values and rows, independent of the database driver.

use std::borrow::Cow;
use std::sync::Arc;

use futures::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, Either, Executor as _, Row as _, SqliteConnection, TypeInfo as _,
    ValueRef as _,
};
use time::OffsetDateTime;

use crate::error::DatastoreError;
use crate::{Result, time_text};

/// Statements with more values than this are prepared anew each time: they come in too many shapes to be kept.
const KEEP_PREPARED: usize = 2048;

/// Runs one statement on SQLite.
pub(crate) async fn run_sqlite(
    connection: &mut SqliteConnection,
    query: Query,
    log: bool,
    mut read: impl FnMut(Row<'_>) -> Result<()> + Send,
) -> Result<()> {
    run_sqlite_many(connection, query, log, |_, row| read(row), |_| ()).await
}

/// Runs several statements on SQLite in one round trip; `read` hears the position of the statement. Drivers of other
/// databases will have to split at the semicolons, which our statements contain nowhere else.
pub(crate) async fn run_sqlite_many(
    connection: &mut SqliteConnection,
    query: Query,
    log: bool,
    mut read: impl FnMut(usize, Row<'_>) -> Result<()> + Send,
    mut done: impl FnMut(u64) + Send,
) -> Result<()> {
    if log {
        tracing::debug!(subsystem_name = "gorm", sql = %query.text, "Query");
    }
    let keep_prepared = query.values.len() <= KEEP_PREPARED;
    let arguments = Query::sqlite_arguments(query.values)?;
    let statement = sqlx::query_with(AssertSqlSafe(query.text), arguments).persistent(keep_prepared);
    let mut stream = connection.fetch_many(statement);
    let mut position = 0;
    while let Some(item) = stream.try_next().await? {
        match item {
            Either::Left(result) => {
                position += 1;
                done(result.rows_affected());
            }
            Either::Right(row) => read(position, Row::Sqlite(&row))?,
        }
    }
    Ok(())
}

/// A bound value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value.into())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One or several statements (separated by `;`) with their values in order of appearance.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) text: Cow<'static, str>,
    pub(crate) values: Vec<Value>,
}

impl Query {
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), values: Vec::new() }
    }

    /// An empty query to be put together.
    pub(crate) fn build() -> Self {
        Self { text: Cow::Owned(String::new()), values: Vec::new() }
    }

    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(crate) fn add(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self
    }

    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Appends `?, ?, …`, one per value.
    pub(crate) fn push_list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        let text = self.text.to_mut();
        for (index, value) in values.into_iter().enumerate() {
            text.push_str(if index == 0 { "?" } else { ",?" });
            self.values.push(value.into());
        }
        self
    }

    /// Appends ` VALUES (?, …), …` for `rows` rows of `columns`; the values are added by the caller.
    pub(crate) fn push_rows(&mut self, rows: usize, columns: usize) -> &mut Self {
        let text = self.text.to_mut();
        text.reserve(rows * (2 * columns + 2));
        for row in 0..rows {
            text.push_str(if row == 0 { " VALUES (" } else { ",(" });
            for column in 0..columns {
                text.push_str(if column == 0 { "?" } else { ",?" });
            }
            text.push(')');
        }
        self
    }

    pub(crate) fn sqlite_arguments(values: Vec<Value>) -> Result<SqliteArguments> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(values.len(), 0);
        for value in values {
            match value {
                Value::Null => arguments.add(None::<i64>),
                Value::Int(value) => arguments.add(value),
                Value::Text(value) => arguments.add(value),
                Value::Bytes(value) => arguments.add(value),
            }
            .map_err(DatastoreError::sql)?;
        }
        Ok(arguments)
    }
}

/// A row, read by column position. NULL reads as the zero value unless asked for (SA-295).
#[derive(Clone, Copy)]
pub(crate) enum Row<'r> {
    Sqlite(&'r SqliteRow),
}

impl<'r> Row<'r> {
    pub(crate) fn int(self, column: usize) -> Result<i64> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get_unchecked::<Option<i64>, _>(column)?.unwrap_or(0)),
        }
    }

    pub(crate) fn int32(self, column: usize) -> Result<i32> {
        let value = self.int(column)?;
        i32::try_from(value).map_err(|_| DatastoreError::sql(format!("value {value} does not fit 32 bits")))
    }

    pub(crate) fn bool(self, column: usize) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn text(self, column: usize) -> Result<&'r str> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get_unchecked::<Option<&'r str>, _>(column)?.unwrap_or("")),
        }
    }

    pub(crate) fn bytes(self, column: usize) -> Result<Option<&'r [u8]>> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get_unchecked::<Option<&'r [u8]>, _>(column)?),
        }
    }

    /// A stored time; `None` for NULL or for a text that is no time.
    pub(crate) fn time(self, column: usize) -> Result<Option<OffsetDateTime>> {
        match self {
            Self::Sqlite(row) => {
                let raw = row.try_get_raw(column)?;
                if raw.is_null() {
                    return Ok(None);
                }
                // The driver upstream also reads whole seconds since 1970 (SA-296).
                if raw.type_info().name() == "INTEGER" {
                    return Ok(OffsetDateTime::from_unix_timestamp(self.int(column)?).ok());
                }
                Ok(time_text::parse(self.text(column)?))
            }
        }
    }

    pub(crate) fn unix(self, column: usize) -> Result<i64> {
        Ok(self.time(column)?.map_or(0, OffsetDateTime::unix_timestamp))
    }
}
