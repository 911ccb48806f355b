//! Fetching, listing and counting (SA-357..359).

use spire_types::{Entry, MatchBehavior, Page};

use super::filter::Driver;
use super::load::{self, Found, Reach};
use super::row::EntryRow;
use super::{ListEntries, filter};
use crate::page::{self, Cut, TokenError};
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;
use crate::{DatastoreError, Result};

/// Ids per statement of a bulk fetch.
const FETCH_CHUNK: usize = 500;

impl Datastore {
    /// The entry, if there is one.
    pub async fn fetch_entry(&self, id: &str) -> Result<Option<Entry>> {
        let mut found = Found::default();
        self.read_snapshot(load::by_entry_ids([id], ""), |statement, row| found.add(statement, row)).await?;
        found.into_rows().pop().map(|row| row.into_entry().map_err(unconvertible)).transpose()
    }

    /// The entries among `ids` that exist, in row order. What does not convert is logged and left out.
    pub async fn fetch_entries<S: AsRef<str> + Sync>(&self, ids: &[S]) -> Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(FETCH_CHUNK) {
            let mut found = Found::default();
            let query = load::by_entry_ids(chunk.iter().map(AsRef::as_ref), "");
            self.read_snapshot(query, |statement, row| found.add(statement, row)).await?;
            entries.extend(convert(found.into_rows()));
        }
        Ok(entries)
    }

    /// Entries in row order, and the token of the next page (SA-019). What does not convert is logged and left out
    /// (SA-070).
    pub async fn list_entries(&self, request: &ListEntries) -> Result<(Vec<Entry>, String)> {
        let mut cut = match &request.page {
            Some(page) if page.size == 0 => page::cut(Some(page), TokenError::Wrapped)?,
            page => {
                filter::check(request)?;
                page::cut(page.as_ref(), TokenError::Wrapped)?
            }
        };
        let mut tx = self.begin_read().await?;
        let driver = filter::driver(&mut tx, request).await?;
        loop {
            let (mut rows, last) = once(&mut tx, request, driver, cut).await?;
            let token = page::next_token(cut.is_some(), last);
            if let Some((selectors, MatchBehavior::Exact | MatchBehavior::Subset)) = &request.by_selectors {
                let any = !rows.is_empty();
                rows.retain(|row| row.has_only(selectors));
                // A page of which nothing is left must not look like the end.
                if let (true, true, Some(Cut { limit, .. }), Some(last)) = (any, rows.is_empty(), cut, last) {
                    cut = Some(Cut { after: Some(last), limit });
                    continue;
                }
            }
            return Ok((convert(rows), token));
        }
    }

    /// How many entries match.
    pub async fn count_entries(&self, request: &ListEntries) -> Result<u64> {
        filter::check(request)?;
        let mut tx = self.begin_read().await?;
        let mut query = Query::build();
        query.push("SELECT count(*) FROM registered_entries");
        let driver = filter::driver(&mut tx, request).await?;
        filter::conditions(&mut query, request, tx.dialect(), driver, true);
        let count = tx.first(query, |row| row.int(0)).await?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Up to `limit` entries with a row id above `after`, and the last row id seen: the way to read them all without
    /// holding them all. `None` means the end. What does not convert is left out silently (SA-235).
    pub async fn load_entries(&self, after: i64, limit: u32) -> Result<Option<(Vec<Entry>, i64)>> {
        let mut tx = self.begin_read().await?;
        let (rows, last) =
            once(&mut tx, &ListEntries::default(), Driver::Any, Some(Cut { after: Some(after), limit }))
                .await?;
        let Some(last) = last else { return Ok(None) };
        Ok(Some((rows.into_iter().filter_map(|row| row.into_entry().ok()).collect(), last)))
    }

    /// How many rows there are, readable or not: the cheap way to notice writes that leave no event (SA-328).
    pub async fn count_entry_rows(&self) -> Result<u64> {
        let query = Query::new("SELECT count(*) FROM registered_entries");
        let count = self.read_one(query, |row| row.int(0)).await?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The stored SPIFFE ID of the first entry by row, as it is: for the trust-domain check at start (SA-375).
    pub async fn first_entry_spiffe_id(&self) -> Result<Option<String>> {
        let query = Query::new("SELECT spiffe_id FROM registered_entries ORDER BY id LIMIT 1");
        self.read_one(query, |row| Ok(row.text(0)?.to_owned())).await
    }
}

/// One page and its last row.
async fn once(
    tx: &mut Tx,
    request: &ListEntries,
    driver: Driver,
    cut: Option<Cut>,
) -> Result<(Vec<EntryRow>, Option<i64>)> {
    let mut query = load::select();
    filter::conditions(&mut query, request, tx.dialect(), driver, false);
    if let Some(after) = cut.and_then(|cut| cut.after) {
        query.push(" AND id > ?").add(after);
    }
    query.push(" ORDER BY id");
    if let Some(cut) = cut {
        query.push(" LIMIT ?").add(cut.limit);
    }
    let everything = ListEntries { page: request.page.clone(), ..ListEntries::default() };
    let reach = if *request == everything { Reach::Dense } else { Reach::Sparse };
    let rows = load::rows(tx, query, reach).await?;
    let last = rows.last().map(|row| row.row_id);
    Ok((rows, last))
}

/// One page request of everything, for callers that walk the table.
impl ListEntries {
    /// The first `size` rows.
    pub fn first_page(size: u32) -> Self {
        Self { page: Some(Page { size, token: String::new() }), ..Self::default() }
    }
}

fn convert(rows: Vec<EntryRow>) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        match row.into_entry() {
            Ok(entry) => entries.push(entry),
            Err((id, error)) => tracing::error!(error = %error, "Failed to convert entry: {id:?}"),
        }
    }
    entries
}

fn unconvertible((id, error): (String, spire_types::SpiffeIdError)) -> DatastoreError {
    DatastoreError::sql(format!("entry {id:?} has a malformed ID: {error}"))
}
