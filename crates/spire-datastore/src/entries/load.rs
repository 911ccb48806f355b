//! Reading whole entries: one statement for the entries, one round trip for everything that hangs on them.
//!
//! Rows of selectors, DNS names and federated bundles that belong to no entry are never looked at (SA-329).

use super::row::{COLUMNS, EntryRow};
use crate::Result;
use crate::sql::{Query, Row};
use crate::transaction::Tx;

/// Ids per `IN (…)`; lists are filled up to one of these sizes so that few statement texts exist.
const CHUNKS: [usize; 4] = [1, 8, 64, 512];

/// How to name the entries whose children are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nearly everything between the first and the last row: one range.
    Dense,
    /// Some of many: by id.
    Sparse,
}

/// The start of a query that yields what [`EntryRow::read`] reads.
pub(super) fn select() -> Query {
    let mut query = Query::build();
    query.push("SELECT ").push(COLUMNS).push(" FROM registered_entries");
    query
}

/// Runs a [`select`] query, which must order by id, and reads the children.
pub(super) async fn rows(tx: &mut Tx, query: Query, reach: Reach) -> Result<Vec<EntryRow>> {
    let mut rows = tx.all(query, EntryRow::read).await?;
    children(tx, &mut rows, reach).await?;
    Ok(rows)
}

/// Everything about the entries with these ids in one round trip, for [`Found::add`].
pub(super) fn by_entry_ids<'a>(ids: impl IntoIterator<Item = &'a str> + Clone, lock: &str) -> Query {
    let owned = |query: &mut Query, column: &str| {
        query.push(column).push(" IN (SELECT id FROM registered_entries WHERE entry_id IN (");
        query.push_list(ids.clone()).push("))");
    };
    let mut query = select();
    query.push(" WHERE entry_id IN (").push_list(ids.clone()).push(") ORDER BY id").push(lock).push(";");
    child_selects(&mut query, owned);
    query
}

/// Collects what [`by_entry_ids`] yields.
#[derive(Default)]
pub(super) struct Found {
    rows: Vec<EntryRow>,
    at: usize,
    statement: usize,
}

impl Found {
    pub(super) fn add(&mut self, statement: usize, row: Row<'_>) -> Result<()> {
        if statement == 0 {
            self.rows.push(EntryRow::read(row)?);
            return Ok(());
        }
        if statement != self.statement {
            (self.at, self.statement) = (0, statement);
        }
        attach_row(&mut self.rows, &mut self.at, statement - 1, row)
    }

    pub(super) fn into_rows(self) -> Vec<EntryRow> {
        self.rows
    }
}

/// The entry with that id, within a transaction that will change it.
pub(super) async fn for_update(tx: &mut Tx, id: &str) -> Result<Option<EntryRow>> {
    let mut found = Found::default();
    let query = by_entry_ids([id], tx.dialect().for_update());
    tx.each(query, |statement, row| found.add(statement, row)).await?;
    Ok(found.into_rows().pop())
}

/// Entries by row id.
pub(super) async fn by_row_ids(tx: &mut Tx, ids: &[i64]) -> Result<Vec<EntryRow>> {
    let mut rows = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNKS[CHUNKS.len() - 1]) {
        let mut query = select();
        query.push(" WHERE id IN (").push_list(chunk.iter().copied()).push(") ORDER BY id");
        rows.extend(tx.all(query, EntryRow::read).await?);
    }
    rows.sort_by_key(|row| row.row_id);
    children(tx, &mut rows, Reach::Sparse).await?;
    Ok(rows)
}

async fn children(tx: &mut Tx, rows: &mut [EntryRow], reach: Reach) -> Result<()> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
    if reach == Reach::Dense && rows.len() > 1 {
        let query = child_queries(&Condition::Range(first.row_id, last.row_id));
        return attach(tx, rows, query).await;
    }
    for chunk in rows.chunks_mut(CHUNKS[CHUNKS.len() - 1]) {
        let ids: Vec<i64> = chunk.iter().map(|row| row.row_id).collect();
        let query = child_queries(&Condition::Ids(padded(&ids)));
        attach(tx, chunk, query).await?;
    }
    Ok(())
}

/// Fills the list up with its last element.
fn padded(ids: &[i64]) -> Vec<i64> {
    let size = CHUNKS.into_iter().find(|size| *size >= ids.len()).unwrap_or(ids.len());
    let mut padded = ids.to_vec();
    if let Some(last) = ids.last() {
        padded.resize(size, *last);
    }
    padded
}

enum Condition {
    Range(i64, i64),
    Ids(Vec<i64>),
}

impl Condition {
    fn write(&self, query: &mut Query, column: &str) {
        query.push(column);
        match self {
            Self::Range(first, last) => {
                query.push(" BETWEEN ? AND ?").add(*first).add(*last);
            }
            Self::Ids(ids) => {
                query.push(" IN (").push_list(ids.iter().copied()).push(")");
            }
        }
    }
}

fn child_queries(condition: &Condition) -> Query {
    let mut query = Query::build();
    child_selects(&mut query, |query, column| condition.write(query, column));
    query
}

/// Selectors, DNS names and federated bundles, each ordered by entry.
fn child_selects(query: &mut Query, condition: impl Fn(&mut Query, &str)) {
    query.push("SELECT registered_entry_id, id, type, value FROM selectors WHERE ");
    condition(query, "registered_entry_id");
    query.push(" ORDER BY registered_entry_id; SELECT registered_entry_id, id, value FROM dns_names WHERE ");
    condition(query, "registered_entry_id");
    query.push(
        " ORDER BY registered_entry_id; SELECT f.registered_entry_id, b.trust_domain \
         FROM federated_registration_entries f JOIN bundles b ON b.id = f.bundle_id WHERE ",
    );
    condition(query, "f.registered_entry_id");
    query.push(" ORDER BY f.registered_entry_id");
}

async fn attach(tx: &mut Tx, rows: &mut [EntryRow], query: Query) -> Result<()> {
    let mut at = 0;
    let mut last_statement = 0;
    tx.each(query, |statement, row| {
        if statement != last_statement {
            (at, last_statement) = (0, statement);
        }
        attach_row(rows, &mut at, statement, row)
    })
    .await
}

/// Both sides are ordered by entry, so one pass is enough.
fn attach_row(rows: &mut [EntryRow], at: &mut usize, statement: usize, row: Row<'_>) -> Result<()> {
    let owner = row.int(0)?;
    while rows.get(*at).is_some_and(|entry| entry.row_id < owner) {
        *at += 1;
    }
    let Some(entry) = rows.get_mut(*at).filter(|entry| entry.row_id == owner) else { return Ok(()) };
    match statement {
        0 => entry.add_selector(row),
        1 => entry.add_dns_name(row),
        _ => entry.add_federated(row),
    }
}
