//! Trust bundles (SA-324..334, CA-074..081).

mod authorities;

use spire_types::{Bundle, BundleMask, Page, TrustDomain};

use crate::blob::BundleBlob;
use crate::changes::Change;
use crate::error::{Code, DatastoreError};
use crate::page::{self, TokenError};
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;
use crate::{Result, entries};

/// What happens to entries that federate with a bundle that is deleted (SA-328).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeleteMode {
    /// Refuse if there are any.
    #[default]
    Restrict,
    /// Delete them too.
    Delete,
    /// Let them stay without the federation.
    Dissociate,
}

impl Datastore {
    /// Stores a new bundle exactly as given.
    ///
    /// # Errors
    /// Already exists.
    pub async fn create_bundle(&self, bundle: &Bundle) -> Result<Bundle> {
        let mut tx = self.begin_write().await?;
        insert(&mut tx, &BundleBlob::from_bundle(bundle), &bundle.trust_domain).await?;
        tx.commit().await?;
        Ok(bundle.clone())
    }

    /// Creates the bundle or overwrites all of it.
    pub async fn set_bundle(&self, bundle: &Bundle) -> Result<Bundle> {
        let mut tx = self.begin_write().await?;
        let stored = set(&mut tx, bundle).await?;
        tx.commit().await?;
        Ok(stored)
    }

    /// Overwrites the masked parts; the sequence number is what the caller says (SA-326).
    ///
    /// # Errors
    /// Not found.
    pub async fn update_bundle(&self, bundle: &Bundle, mask: &BundleMask) -> Result<Bundle> {
        let mut tx = self.begin_write().await?;
        let (row_id, mut blob) = get(&mut tx, &bundle.trust_domain).await?;
        blob.overwrite(&BundleBlob::from_bundle(bundle), mask);
        save(&mut tx, row_id, &blob, &bundle.trust_domain).await?;
        tx.commit().await?;
        Ok(blob.to_bundle(bundle.trust_domain.clone()))
    }

    /// Adds authorities that are not there yet; the sequence number grows only if there were any (SA-327).
    pub async fn append_bundle(&self, bundle: &Bundle) -> Result<Bundle> {
        let td = &bundle.trust_domain;
        let mut tx = self.begin_write().await?;
        let new = BundleBlob::from_bundle(bundle);
        let blob = match find(&mut tx, td).await? {
            None => {
                insert(&mut tx, &new, td).await?;
                new
            }
            Some((row_id, mut blob)) => {
                if blob.append(&new) {
                    blob.sequence_number += 1;
                    save(&mut tx, row_id, &blob, td).await?;
                }
                blob
            }
        };
        tx.commit().await?;
        Ok(blob.to_bundle(td.clone()))
    }

    /// # Errors
    /// Not found; failed precondition if entries federate with it and the mode is `Restrict`.
    pub async fn delete_bundle(&self, trust_domain: &TrustDomain, mode: DeleteMode) -> Result<()> {
        let mut tx = self.begin_write().await?;
        let (row_id, _) =
            get_raw(&mut tx, trust_domain).await?.ok_or_else(DatastoreError::record_not_found)?;
        let federated = federated_entries(&mut tx, row_id).await?;
        if !federated.is_empty() {
            match mode {
                DeleteMode::Restrict => {
                    return Err(DatastoreError::status(
                        Code::FailedPrecondition,
                        format!(
                            "datastore-sql: cannot delete bundle; federated with {} registration entries",
                            federated.len()
                        ),
                    ));
                }
                // Upstream leaves orphans and writes no events here, so its event-fed servers keep serving the
                // entries; ours go like any deleted entry (SA-328).
                DeleteMode::Delete => entries::delete_rows(&mut tx, &federated).await?,
                DeleteMode::Dissociate => {
                    for (_, entry_id) in &federated {
                        tx.changed(Change::Entry(entry_id.as_str().into()));
                    }
                }
            }
            let query = Query::new("DELETE FROM federated_registration_entries WHERE bundle_id = ?");
            tx.execute(query.bind(row_id)).await?;
        }
        tx.execute(Query::new("DELETE FROM bundles WHERE id = ?").bind(row_id)).await?;
        tx.changed(Change::Bundle(trust_domain.clone()));
        tx.commit().await
    }

    pub async fn fetch_bundle(&self, trust_domain: &TrustDomain) -> Result<Option<Bundle>> {
        let mut tx = self.begin_read().await?;
        Ok(find(&mut tx, trust_domain).await?.map(|(_, blob)| blob.to_bundle(trust_domain.clone())))
    }

    pub async fn count_bundles(&self) -> Result<u64> {
        let count = self.read_one(Query::new("SELECT count(*) FROM bundles"), |row| row.int(0)).await?;
        Ok(u64::try_from(count.unwrap_or(0)).unwrap_or(0))
    }

    /// Bundles in row order, and the token of the next page (SA-019).
    ///
    /// # Errors
    /// One row that does not decode fails the whole list.
    pub async fn list_bundles(&self, page: Option<&Page>) -> Result<(Vec<Bundle>, String)> {
        let cut = page::cut(page, TokenError::Plain)?;
        let mut query = Query::build();
        query.push("SELECT id, trust_domain, data FROM bundles");
        if let Some(after) = cut.and_then(|cut| cut.after) {
            query.push(" WHERE id > ?").add(after);
        }
        query.push(" ORDER BY id");
        if let Some(cut) = cut {
            query.push(" LIMIT ?").add(cut.limit);
        }
        let mut last = None;
        let bundles = self
            .read_all(query, |row| {
                last = Some(row.int(0)?);
                let td = TrustDomain::parse(row.text(1)?).map_err(|error| {
                    DatastoreError::sql(format!("bundle has an invalid trust domain ID: {error}"))
                })?;
                Ok(decode(row.bytes(2)?)?.to_bundle(td))
            })
            .await?;
        Ok((bundles, page::next_token(cut.is_some(), last)))
    }
}

/// Creates or overwrites within a transaction of the caller's.
pub(crate) async fn set(tx: &mut Tx, bundle: &Bundle) -> Result<Bundle> {
    let td = &bundle.trust_domain;
    let new = BundleBlob::from_bundle(bundle);
    let blob = match find(tx, td).await? {
        None => {
            insert(tx, &new, td).await?;
            new
        }
        Some((row_id, mut blob)) => {
            blob.overwrite(&new, &BundleMask::ALL);
            save(tx, row_id, &blob, td).await?;
            blob
        }
    };
    Ok(blob.to_bundle(td.clone()))
}

/// Row id and stored bundle.
///
/// # Errors
/// Not found.
async fn get(tx: &mut Tx, trust_domain: &TrustDomain) -> Result<(i64, BundleBlob)> {
    find(tx, trust_domain).await?.ok_or_else(DatastoreError::record_not_found)
}

pub(crate) async fn find(tx: &mut Tx, trust_domain: &TrustDomain) -> Result<Option<(i64, BundleBlob)>> {
    match get_raw(tx, trust_domain).await? {
        Some((row_id, data)) => Ok(Some((row_id, decode(Some(&data))?))),
        None => Ok(None),
    }
}

async fn get_raw(tx: &mut Tx, trust_domain: &TrustDomain) -> Result<Option<(i64, Vec<u8>)>> {
    let for_update = tx.dialect().for_update();
    let mut query = Query::build();
    query
        .push("SELECT id, data FROM bundles WHERE trust_domain = ?")
        .add(trust_domain.id_string())
        .push(for_update);
    tx.first(query, |row| Ok((row.int(0)?, row.bytes(1)?.unwrap_or_default().to_vec()))).await
}

pub(crate) fn decode(data: Option<&[u8]>) -> Result<BundleBlob> {
    BundleBlob::decode(data.unwrap_or_default()).map_err(|error| {
        DatastoreError::status(Code::Internal, format!("failed to unmarshal bundle: {error}"))
    })
}

async fn insert(tx: &mut Tx, blob: &BundleBlob, trust_domain: &TrustDomain) -> Result<()> {
    let mut query = Query::build();
    query.push("INSERT INTO bundles (created_at, updated_at, trust_domain, data)").push_rows(1, 4);
    query.add(tx.stamp()).add(tx.stamp()).add(trust_domain.id_string()).add(blob.encode());
    tx.defer(query).await?;
    tx.changed(Change::Bundle(trust_domain.clone()));
    Ok(())
}

async fn save(tx: &mut Tx, row_id: i64, blob: &BundleBlob, trust_domain: &TrustDomain) -> Result<()> {
    let query = Query::new("UPDATE bundles SET updated_at = ?, data = ? WHERE id = ?");
    tx.defer(query.bind(tx.stamp()).bind(blob.encode()).bind(row_id)).await?;
    tx.changed(Change::Bundle(trust_domain.clone()));
    Ok(())
}

async fn federated_entries(tx: &mut Tx, bundle: i64) -> Result<Vec<(i64, String)>> {
    let query = Query::new(
        "SELECT e.id, e.entry_id FROM federated_registration_entries f \
         JOIN registered_entries e ON e.id = f.registered_entry_id WHERE f.bundle_id = ? ORDER BY e.id",
    );
    tx.all(query.bind(bundle), |row| Ok((row.int(0)?, row.text(1)?.to_owned()))).await
}
