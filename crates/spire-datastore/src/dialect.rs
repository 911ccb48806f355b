//! Everything in which SQLite, PostgreSQL and MySQL differ, apart from connecting and DDL.
//!
//! Queries are written once with `?` placeholders and ask here for the rest. Only SQLite is built in this version.

pub(crate) mod sqlite;

use std::borrow::Cow;

use time::OffsetDateTime;

use crate::sql::Value;
use crate::time_text;

/// Which database a query is going to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
}

impl Dialect {
    /// Puts `?` placeholders into the database's own form.
    pub(crate) fn placeholders(self, sql: Cow<'static, str>) -> Cow<'static, str> {
        match self {
            Self::Sqlite => sql,
        }
    }

    /// What a SELECT inside a read-modify-write transaction ends with (SA-318). SQLite has one writer at a time.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
        }
    }

    /// The column in a form whose index is not used: without statistics SQLite may otherwise pick the parent's
    /// index where the SPIFFE ID's is a hundred thousand times better.
    pub(crate) fn without_index(self, column: &'static str) -> Cow<'static, str> {
        match self {
            Self::Sqlite => format!("+{column}").into(),
        }
    }

    /// A time in the form that is stored and compared (SA-296..298).
    pub(crate) fn time(self, time: OffsetDateTime) -> Value {
        match self {
            Self::Sqlite => Value::from(time_text::format(time)),
        }
    }
}
