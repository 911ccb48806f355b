//! Updating an entry (SA-353).

use spire_types::{Entry, EntryMask, TrustDomain};

use super::create::child_rows;
use super::load;
use super::{attributes, in_index_order, validate};
use crate::Result;
use crate::changes::Change;
use crate::error::{Code, DatastoreError};
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;

impl Datastore {
    /// Overwrites the masked fields of the entry with that id and returns all of it.
    ///
    /// The revision grows by one even if nothing changes. The mask bits for revision and creation time mean nothing
    /// (SA-080). Whether stored selectors suit `store_svid` is only checked when the selectors are written too.
    ///
    /// # Errors
    /// Not found; a failed check; an unknown federated bundle.
    pub async fn update_entry(&self, entry: &Entry, mask: &EntryMask) -> Result<Entry> {
        validate::for_update(entry, mask)?;
        let mut tx = self.begin_write().await?;
        let updated = update(&mut tx, entry, mask).await?;
        tx.commit().await?;
        Ok(updated)
    }
}

async fn update(tx: &mut Tx, entry: &Entry, mask: &EntryMask) -> Result<Entry> {
    let row = load::for_update(tx, &entry.id).await?;
    let row = row.ok_or_else(DatastoreError::record_not_found)?;
    let row_id = row.row_id;
    let held = row.federates_with().to_vec();
    let mut new = row
        .into_entry()
        .map_err(|(id, error)| DatastoreError::sql(format!("entry {id:?} has a malformed ID: {error}")))?;
    apply(&mut new, entry, mask);
    // Rows that stay lie before new ones, and the answer is in their order.
    let place = |td: &TrustDomain| held.iter().position(|id| *id == td.id_string()).unwrap_or(held.len());
    new.federates_with.sort_by_cached_key(place);
    if mask.selectors && new.store_svid {
        validate::same_selector_type(&new.selectors)?;
    }
    new.revision_number += 1;

    let mut query = Query::build();
    write_row(&mut query, tx, row_id, &new);
    replace_children(&mut query, tx, row_id, &new, mask);
    if mask.federates_with {
        let bundles = bundle_ids(tx, &new.federates_with).await?;
        query.push("DELETE FROM federated_registration_entries WHERE registered_entry_id = ?;").add(row_id);
        if !bundles.is_empty() {
            query.push("INSERT INTO federated_registration_entries (bundle_id, registered_entry_id)");
            query.push_rows(bundles.len(), 2);
            for bundle in bundles {
                query.add(bundle).add(row_id);
            }
            query.push(";");
        }
    }
    query.push("INSERT INTO registered_entries_events (created_at, updated_at, entry_id)").push_rows(1, 3);
    query.add(tx.stamp()).add(tx.stamp()).add(new.id.as_str());
    tx.defer(query).await?;
    tx.changed(Change::Entry(new.id.as_str().into()));
    in_index_order(&mut new);
    Ok(new)
}

fn apply(new: &mut Entry, entry: &Entry, mask: &EntryMask) {
    macro_rules! copy {
        ($($field:ident),*) => { $( if mask.$field { new.$field = entry.$field.clone(); } )* };
    }
    copy!(
        spiffe_id,
        parent_id,
        selectors,
        x509_svid_ttl,
        jwt_svid_ttl,
        federates_with,
        admin,
        downstream,
        expires_at,
        dns_names,
        store_svid,
        hint
    );
    if mask.additional_attributes {
        new.additional_attributes = entry.additional_attributes.filter(|given| *given != Default::default());
    }
    new.federates_with.sort_unstable();
    new.federates_with.dedup();
}

fn write_row(query: &mut Query, tx: &Tx, row_id: i64, new: &Entry) {
    query.push(
        "UPDATE registered_entries SET updated_at = ?, spiffe_id = ?, parent_id = ?, ttl = ?, admin = ?, \
         downstream = ?, expiry = ?, revision_number = ?, store_svid = ?, hint = ?, jwt_svid_ttl = ?, \
         additional_attributes = ? WHERE id = ?;",
    );
    query.add(tx.stamp()).add(new.spiffe_id.to_string()).add(new.parent_id.to_string());
    query.add(new.x509_svid_ttl).add(new.admin).add(new.downstream).add(new.expires_at);
    query.add(new.revision_number).add(new.store_svid).add(new.hint.as_str()).add(new.jwt_svid_ttl);
    query.add(attributes::encode(new.additional_attributes.as_ref())).add(row_id);
}

/// Deletes and writes anew what the mask names.
fn replace_children(query: &mut Query, tx: &Tx, row_id: i64, new: &Entry, mask: &EntryMask) {
    let mut children = new.clone();
    if mask.selectors {
        query.push("DELETE FROM selectors WHERE registered_entry_id = ?;").add(row_id);
    } else {
        children.selectors.clear();
    }
    if mask.dns_names {
        query.push("DELETE FROM dns_names WHERE registered_entry_id = ?;").add(row_id);
    } else {
        children.dns_names.clear();
    }
    child_rows(query, tx, &[(row_id, &children)]);
}

async fn bundle_ids(tx: &mut Tx, domains: &[TrustDomain]) -> Result<Vec<i64>> {
    if domains.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = Query::build();
    query.push("SELECT trust_domain, id FROM bundles WHERE trust_domain IN (");
    query.push_list(domains.iter().map(TrustDomain::id_string)).push(")");
    let found = tx.all(query, |row| Ok((row.text(0)?.to_owned(), row.int(1)?))).await?;
    domains
        .iter()
        .map(TrustDomain::id_string)
        .map(|id| match found.iter().find(|(stored, _)| *stored == id) {
            Some((_, row_id)) => Ok(*row_id),
            None => {
                Err(DatastoreError::status(Code::Unknown, format!("unable to find federated bundle {id:?}")))
            }
        })
        .collect()
}
