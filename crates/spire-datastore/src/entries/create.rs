//! Creating entries, one or many, in as few round trips as the database allows.
//!
//! Everything that could make an insert fail is looked up before: similar entries, taken ids, missing bundles,
//! repeated selectors. If something could, each entry of the batch is written behind its own savepoint so that one
//! failure stays its own (SA-017); otherwise the whole batch goes in with one statement per table.

use std::collections::{BTreeSet, HashMap, HashSet};

use spire_types::{Entry, Selector, TrustDomain};
use uuid::Uuid;

use super::{CreatedEntry, attributes, in_index_order, load, validate};
use crate::changes::Change;
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;
use crate::{DatastoreError, Result, time_text};

const ENTRY_COLUMNS: usize = 14;
/// Entries per statement: few round trips, and statements that stay small enough to be kept prepared.
const ROWS: usize = 100;
/// Rows of selectors or names per statement, below the limit on values.
const CHILD_ROWS: usize = 4000;

impl Datastore {
    /// Writes an entry, or finds the one like it that is there already (SA-347).
    ///
    /// `id` may be empty; revision and creation time are set here.
    pub async fn create_entry(&self, entry: &Entry) -> Result<CreatedEntry> {
        let mut results = self.create_entries_batch(std::slice::from_ref(entry)).await;
        results.pop().unwrap_or_else(|| Err(DatastoreError::sql("no result")))
    }

    /// The same for many, each with its own result in the order of the input, in one transaction, which entries of
    /// other callers may share.
    ///
    /// If the transaction as a whole fails nothing is written and every valid entry gets that error.
    pub async fn create_entries_batch(&self, entries: &[Entry]) -> Vec<Result<CreatedEntry>> {
        let checked: Vec<Result<&Entry>> =
            entries.iter().map(|entry| validate::for_create(entry).map(|()| entry)).collect();
        let valid: Vec<Entry> =
            checked.iter().filter_map(|entry| entry.as_ref().ok().map(|entry| (*entry).clone())).collect();
        let outcomes = if valid.is_empty() { Vec::new() } else { self.create_together(valid).await };
        let mut outcomes = outcomes.into_iter();
        let mut next = || outcomes.next().unwrap_or_else(|| Err(DatastoreError::sql("no result")));
        checked.into_iter().map(|entry| entry.and_then(|_| next())).collect()
    }

    async fn create_together(&self, entries: Vec<Entry>) -> Vec<Result<CreatedEntry>> {
        let count = entries.len();
        let outcomes = self.groups().entries.write(self, entries, create_all).await;
        outcomes.unwrap_or_else(|error| vec![Err(error); count])
    }
}

/// The entries of several callers; if the transaction fails, it fails for all of them.
async fn create_all(begun: Result<Tx>, callers: Vec<Vec<Entry>>) -> Vec<Vec<Result<CreatedEntry>>> {
    let entries: Vec<&Entry> = callers.iter().flatten().collect();
    let written = match begun {
        Ok(mut tx) => match create(&mut tx, &entries).await {
            Ok(outcomes) => tx.commit().await.map(|()| outcomes),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let mut outcomes = written.unwrap_or_else(|error| vec![Err(error); entries.len()]).into_iter();
    callers.iter().map(|entries| outcomes.by_ref().take(entries.len()).collect()).collect()
}

async fn create(tx: &mut Tx, entries: &[&Entry]) -> Result<Vec<Result<CreatedEntry>>> {
    let known = Known::look_up(tx, entries).await?;
    if entries.len() > 1 && known.something_may_fail(entries) {
        return one_by_one(tx, entries).await;
    }
    let plan = match plan(entries, &known, created_at(tx)) {
        Ok(plan) => plan,
        Err(error) => return Ok(vec![Err(error); entries.len()]),
    };
    insert(tx, &plan.new, &known).await?;
    for entry in &plan.new {
        tx.changed(Change::Entry(entry.id.as_str().into()));
    }
    Ok(plan.outcomes(&known))
}

/// Each entry behind its own savepoint.
async fn one_by_one(tx: &mut Tx, entries: &[&Entry]) -> Result<Vec<Result<CreatedEntry>>> {
    let mut results = Vec::with_capacity(entries.len());
    for entry in entries {
        let noted = tx.change_count();
        tx.execute(Query::new("SAVEPOINT entry")).await?;
        let outcome = match Box::pin(create(tx, std::slice::from_ref(entry))).await {
            Ok(outcome) => tx.flush().await.map(|()| outcome),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(mut result) => {
                tx.execute(Query::new("RELEASE SAVEPOINT entry")).await?;
                results.extend(result.pop());
            }
            Err(error) => {
                tx.execute(Query::new("ROLLBACK TO SAVEPOINT entry; RELEASE SAVEPOINT entry")).await?;
                tx.forget_changes_after(noted);
                results.push(Err(error));
            }
        }
    }
    Ok(results)
}

/// What the database says about a batch before it is written.
struct Known {
    /// Position in the batch to an entry that is there already.
    similar: HashMap<usize, Entry>,
    taken_ids: HashSet<String>,
    bundles: HashMap<String, i64>,
}

impl Known {
    async fn look_up(tx: &mut Tx, entries: &[&Entry]) -> Result<Self> {
        let mut known = Self { similar: HashMap::new(), taken_ids: HashSet::new(), bundles: HashMap::new() };
        let mut candidates: Vec<(usize, i64)> = Vec::new();
        for (chunk_at, chunk) in entries.chunks(ROWS).enumerate() {
            let (query, has_ids) = look_up_query(tx, chunk, chunk_at * ROWS);
            tx.each(query, |statement, row| {
                match (statement, has_ids) {
                    (0, _) => candidates.push((usize::try_from(row.int(0)?).unwrap_or(0), row.int(1)?)),
                    (1, true) => drop(known.taken_ids.insert(row.text(0)?.to_owned())),
                    _ => drop(known.bundles.insert(row.text(0)?.to_owned(), row.int(1)?)),
                }
                Ok(())
            })
            .await?;
        }
        known.compare(tx, entries, candidates).await?;
        Ok(known)
    }

    /// Keeps the first candidate by row whose selector set is equal.
    async fn compare(
        &mut self,
        tx: &mut Tx,
        entries: &[&Entry],
        mut candidates: Vec<(usize, i64)>,
    ) -> Result<()> {
        if candidates.is_empty() {
            return Ok(());
        }
        candidates.sort_unstable();
        let mut ids: Vec<i64> = candidates.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut rows = HashMap::with_capacity(ids.len());
        for row in load::by_row_ids(tx, &ids).await? {
            let id = row.row_id;
            if let Ok(entry) = row.into_entry() {
                rows.insert(id, entry);
            }
        }
        for (index, id) in candidates {
            let Some(entry) = rows.get(&id) else { continue };
            if !self.similar.contains_key(&index) && selector_set(entry) == selector_set(entries[index]) {
                self.similar.insert(index, entry.clone());
            }
        }
        Ok(())
    }

    /// Whether a constraint could be broken or a bundle is missing. Similar entries are no failure.
    fn something_may_fail(&self, entries: &[&Entry]) -> bool {
        let mut ids = HashSet::new();
        entries.iter().enumerate().any(|(index, entry)| {
            !self.similar.contains_key(&index)
                && ((!entry.id.is_empty() && (self.taken_ids.contains(&entry.id) || !ids.insert(&entry.id)))
                    || has_repeats(&entry.selectors)
                    || has_repeats(&entry.dns_names)
                    || self.missing_bundle(entry).is_some())
        })
    }

    fn missing_bundle(&self, entry: &Entry) -> Option<DatastoreError> {
        let missing = entry
            .federates_with
            .iter()
            .map(TrustDomain::id_string)
            .find(|id| !self.bundles.contains_key(id))?;
        // No prefix upstream (SA-349).
        Some(DatastoreError::status(
            crate::Code::Unknown,
            format!("unable to find federated bundle {missing:?}"),
        ))
    }
}

fn look_up_query(tx: &Tx, entries: &[&Entry], offset: usize) -> (Query, bool) {
    let mut query = Query::build();
    // The rarest column decides which index is used; the first selector spares reading entries that cannot match.
    query.push("WITH want (at, spiffe_id, parent_id, type, value) AS (").push_rows(entries.len(), 5);
    for (index, entry) in entries.iter().enumerate() {
        query.add(i64::try_from(offset + index).unwrap_or(0));
        query.add(entry.spiffe_id.to_string()).add(entry.parent_id.to_string());
        let first = entry.selectors.first();
        query.add(first.map_or("", Selector::kind)).add(first.map_or("", Selector::value));
    }
    query.push(") SELECT want.at, e.id FROM want CROSS JOIN registered_entries e ON e.spiffe_id = want.spiffe_id AND ");
    query.push(&tx.dialect().without_index("e.parent_id")).push(
        " = want.parent_id WHERE EXISTS (SELECT 1 FROM selectors s \
         WHERE s.registered_entry_id = e.id AND s.type = want.type AND s.value = want.value)",
    );
    let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).filter(|id| !id.is_empty()).collect();
    if !ids.is_empty() {
        query.push("; SELECT entry_id FROM registered_entries WHERE entry_id IN (");
        query.push_list(ids.iter().copied()).push(")");
    }
    let mut domains: Vec<String> =
        entries.iter().flat_map(|entry| &entry.federates_with).map(TrustDomain::id_string).collect();
    domains.sort_unstable();
    domains.dedup();
    if !domains.is_empty() {
        query
            .push("; SELECT trust_domain, id FROM bundles WHERE trust_domain IN (")
            .push_list(domains)
            .push(")");
    }
    (query, !ids.is_empty())
}

/// What becomes of each entry of the batch.
struct Plan {
    new: Vec<Entry>,
    /// For every input: the position in `new`, or `None` if [`Known::similar`] has it; and whether it existed.
    places: Vec<(Option<usize>, bool)>,
}

fn plan(entries: &[&Entry], known: &Known, created_at: i64) -> Result<Plan> {
    let mut plan = Plan { new: Vec::new(), places: Vec::with_capacity(entries.len()) };
    let mut batch = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if known.similar.contains_key(&index) {
            plan.places.push((None, true));
            continue;
        }
        let alike = (&entry.spiffe_id, &entry.parent_id, selector_set(entry));
        if let Some(twin) = batch.get(&alike) {
            plan.places.push((Some(*twin), true));
            continue;
        }
        // A taken id fails first, when the row is written.
        if let Some(error) = known.missing_bundle(entry).filter(|_| !known.taken_ids.contains(&entry.id)) {
            return Err(error);
        }
        let mut entry = (*entry).clone();
        if entry.id.is_empty() {
            entry.id = Uuid::new_v4().to_string();
        }
        entry.revision_number = 0;
        entry.created_at = created_at;
        // All-default attributes read back as absent (SA-304).
        entry.additional_attributes =
            entry.additional_attributes.filter(|attributes| *attributes != Default::default());
        entry.federates_with.sort_unstable();
        entry.federates_with.dedup();
        batch.insert(alike, plan.new.len());
        plan.places.push((Some(plan.new.len()), false));
        plan.new.push(entry);
    }
    Ok(plan)
}

impl Plan {
    fn outcomes(&self, known: &Known) -> Vec<Result<CreatedEntry>> {
        let outcome = |(index, (place, existing)): (usize, &(Option<usize>, bool))| {
            let entry = match place {
                Some(at) => self.new.get(*at),
                None => known.similar.get(&index),
            };
            let mut entry = entry.cloned().ok_or_else(DatastoreError::record_not_found)?;
            if !existing {
                in_index_order(&mut entry);
            }
            Ok(CreatedEntry { entry, existing: *existing })
        };
        self.places.iter().enumerate().map(outcome).collect()
    }
}

/// Rows in the order of SA-351, except that all rows of a table go together.
async fn insert(tx: &mut Tx, entries: &[Entry], known: &Known) -> Result<()> {
    for chunk in entries.chunks(ROWS) {
        let mut row_ids = HashMap::with_capacity(chunk.len());
        let entries_query = entry_rows(tx, chunk);
        tx.each(entries_query, |_, row| {
            row_ids.insert(row.text(0)?.to_owned(), row.int(1)?);
            Ok(())
        })
        .await?;
        let numbered: Vec<(i64, &Entry)> =
            chunk.iter().filter_map(|entry| Some((*row_ids.get(&entry.id)?, entry))).collect();
        let mut children = Query::build();
        federation_rows(&mut children, &numbered, known);
        child_rows(&mut children, tx, &numbered);
        event_rows(&mut children, tx, chunk);
        tx.defer(children).await?;
    }
    Ok(())
}

fn entry_rows(tx: &Tx, entries: &[Entry]) -> Query {
    let mut query = Query::build();
    query.push(
        "INSERT INTO registered_entries (created_at, updated_at, entry_id, spiffe_id, parent_id, ttl, admin, \
         downstream, expiry, revision_number, store_svid, hint, jwt_svid_ttl, additional_attributes)",
    );
    query.push_rows(entries.len(), ENTRY_COLUMNS);
    for entry in entries {
        query.add(tx.stamp()).add(tx.stamp()).add(entry.id.as_str());
        query.add(entry.spiffe_id.to_string()).add(entry.parent_id.to_string());
        query.add(entry.x509_svid_ttl).add(entry.admin).add(entry.downstream).add(entry.expires_at);
        query.add(0i64).add(entry.store_svid).add(entry.hint.as_str()).add(entry.jwt_svid_ttl);
        query.add(attributes::encode(entry.additional_attributes.as_ref()));
    }
    query.push(" RETURNING entry_id, id");
    query
}

fn federation_rows(query: &mut Query, entries: &[(i64, &Entry)], known: &Known) {
    let rows: Vec<(i64, i64)> = entries
        .iter()
        .flat_map(|(id, entry)| {
            let bundle = |td: &TrustDomain| known.bundles.get(&td.id_string()).copied();
            entry.federates_with.iter().filter_map(bundle).map(|bundle| (bundle, *id))
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    query.push("INSERT INTO federated_registration_entries (bundle_id, registered_entry_id)");
    query.push_rows(rows.len(), 2);
    for (bundle, entry) in rows {
        query.add(bundle).add(entry);
    }
    query.push(";");
}

/// Selectors and DNS names in request order, so that reading by row id gives it back (SA-352).
pub(super) fn child_rows(query: &mut Query, tx: &Tx, entries: &[(i64, &Entry)]) {
    let selectors: Vec<(i64, &Selector)> = entries
        .iter()
        .flat_map(|(id, entry)| entry.selectors.iter().map(|selector| (*id, selector)))
        .collect();
    for rows in selectors.chunks(CHILD_ROWS) {
        query.push("INSERT INTO selectors (created_at, updated_at, registered_entry_id, type, value)");
        query.push_rows(rows.len(), 5);
        for (id, selector) in rows {
            query.add(tx.stamp()).add(tx.stamp()).add(*id).add(selector.kind()).add(selector.value());
        }
        query.push(";");
    }
    let names: Vec<(i64, &str)> = entries
        .iter()
        .flat_map(|(id, entry)| entry.dns_names.iter().map(|name| (*id, name.as_str())))
        .collect();
    for rows in names.chunks(CHILD_ROWS) {
        query.push("INSERT INTO dns_names (created_at, updated_at, registered_entry_id, value)");
        query.push_rows(rows.len(), 4);
        for (id, name) in rows {
            query.add(tx.stamp()).add(tx.stamp()).add(*id).add(*name);
        }
        query.push(";");
    }
}

fn event_rows(query: &mut Query, tx: &Tx, entries: &[Entry]) {
    query.push("INSERT INTO registered_entries_events (created_at, updated_at, entry_id)");
    query.push_rows(entries.len(), 3);
    for entry in entries {
        query.add(tx.stamp()).add(tx.stamp()).add(entry.id.as_str());
    }
}

fn selector_set(entry: &Entry) -> BTreeSet<&Selector> {
    entry.selectors.iter().collect()
}

fn has_repeats<T: Ord>(items: &[T]) -> bool {
    items.iter().collect::<BTreeSet<_>>().len() < items.len()
}

/// What the API shows as creation time (SA-299).
pub(super) fn created_at(tx: &Tx) -> i64 {
    time_text::rounded_unix(tx.time())
}
