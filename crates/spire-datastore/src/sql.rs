//! Statements, values and rows, independent of the database driver.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::error::DatastoreError;
use crate::{Result, time_text};

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

    /// Appends the rows that `(a, b) IN (…)` compares with. A chain of `AND` or `OR` in its place would be too deep for
    /// SQLite from about 500 pairs on.
    pub(crate) fn push_pairs<V: Into<Value>>(
        &mut self,
        pairs: impl ExactSizeIterator<Item = (V, V)>,
    ) -> &mut Self {
        self.push_rows(pairs.len(), 2);
        for (first, second) in pairs {
            self.add(first).add(second);
        }
        self
    }

    /// What `log_sql` asks for; never the values.
    pub(crate) fn log(&self) {
        tracing::debug!(subsystem_name = "gorm", sql = %self.text, "Query");
    }

    /// One after the other. Our statements contain semicolons nowhere else; the schema's end with a space that counts.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &str> {
        self.text.split(';').map(str::trim_start).filter(|text| !text.is_empty())
    }
}

/// A value as the database gave it; texts and bytes lie in [`Rowset::data`].
#[derive(Debug)]
enum Cell {
    Null,
    Int(i64),
    Text { start: u32, length: u32 },
    Bytes { start: u32, length: u32 },
}

/// Rows with all their values side by side.
#[derive(Debug, Default)]
pub(crate) struct Rowset {
    /// Statement and first cell of each row.
    rows: Vec<(u32, u32)>,
    cells: Vec<Cell>,
    data: Vec<u8>,
}

impl Rowset {
    /// The values of the row follow.
    pub(crate) fn begin_row(&mut self, statement: usize) {
        self.rows.push((narrow(statement), narrow(self.cells.len())));
    }

    pub(crate) fn push_null(&mut self) {
        self.cells.push(Cell::Null);
    }

    pub(crate) fn push_int(&mut self, value: i64) {
        self.cells.push(Cell::Int(value));
    }

    /// # Errors
    /// More than fits a rowset.
    pub(crate) fn push_text(&mut self, text: &[u8]) -> Result<()> {
        let (start, length) = self.append(text)?;
        self.cells.push(Cell::Text { start, length });
        Ok(())
    }

    /// # Errors
    /// More than fits a rowset.
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let (start, length) = self.append(bytes)?;
        self.cells.push(Cell::Bytes { start, length });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(u32, u32)> {
        let (start, length) = (self.data.len(), bytes.len());
        let place = u32::try_from(start + length).ok().zip(u32::try_from(start).ok());
        let (end, start) =
            place.ok_or_else(|| DatastoreError::sql(format!("a row of {length} bytes is too long")))?;
        self.data.extend_from_slice(bytes);
        Ok((start, end - start))
    }

    /// How much text there is.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn values(&self) -> usize {
        self.cells.len()
    }

    /// Every row with the position of its statement.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Row<'_>)> {
        self.rows.iter().enumerate().map(|(index, (statement, first))| {
            let next = self.rows.get(index + 1).map_or(self.cells.len(), |(_, first)| *first as usize);
            let cells = self.cells.get(*first as usize..next).unwrap_or_default();
            (*statement as usize, Row { cells, data: &self.data })
        })
    }
}

/// Batches are sent long before they have so many rows or values.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A row, read by column position. NULL reads as the zero value unless asked for (SA-295).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'r> {
    cells: &'r [Cell],
    data: &'r [u8],
}

impl<'r> Row<'r> {
    fn cell(self, column: usize) -> Result<&'r Cell> {
        self.cells.get(column).ok_or_else(|| DatastoreError::sql(format!("a row has no column {column}")))
    }

    fn slice(self, start: u32, length: u32) -> &'r [u8] {
        let range: Range<usize> = start as usize..start as usize + length as usize;
        self.data.get(range).unwrap_or_default()
    }

    pub(crate) fn int(self, column: usize) -> Result<i64> {
        match *self.cell(column)? {
            Cell::Null => Ok(0),
            Cell::Int(value) => Ok(value),
            Cell::Text { .. } | Cell::Bytes { .. } => {
                let text = self.text(column)?;
                text.parse().map_err(|_| DatastoreError::sql(format!("value {text:?} is no whole number")))
            }
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
        let bytes = match *self.cell(column)? {
            Cell::Null => return Ok(""),
            Cell::Int(value) => {
                return Err(DatastoreError::sql(format!("value {value} of column {column} is no text")));
            }
            Cell::Text { start, length } | Cell::Bytes { start, length } => self.slice(start, length),
        };
        std::str::from_utf8(bytes).map_err(|error| {
            DatastoreError::sql(format!("the text of column {column} is not UTF-8: {error}"))
        })
    }

    pub(crate) fn bytes(self, column: usize) -> Result<Option<&'r [u8]>> {
        match *self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Int(value) => {
                Err(DatastoreError::sql(format!("value {value} of column {column} is no blob")))
            }
            Cell::Text { start, length } | Cell::Bytes { start, length } => {
                Ok(Some(self.slice(start, length)))
            }
        }
    }

    /// A stored time; `None` for NULL or for a text that is no time.
    pub(crate) fn time(self, column: usize) -> Result<Option<OffsetDateTime>> {
        match *self.cell(column)? {
            Cell::Null => Ok(None),
            // The driver upstream also reads whole seconds since 1970 (SA-296).
            Cell::Int(seconds) => Ok(OffsetDateTime::from_unix_timestamp(seconds).ok()),
            Cell::Text { .. } | Cell::Bytes { .. } => Ok(time_text::parse(self.text(column)?)),
        }
    }

    pub(crate) fn unix(self, column: usize) -> Result<i64> {
        Ok(self.time(column)?.map_or(0, OffsetDateTime::unix_timestamp))
    }
}
