//! Relationships with other trust domains (SA-361..363).

use spire_types::{Bundle, EndpointProfile, FederationMask, FederationRelationship, Page, TrustDomain};

use crate::changes::Change;
use crate::error::{Code, DatastoreError};
use crate::page::{self, TokenError};
use crate::sql::{Query, Row};
use crate::store::Datastore;
use crate::transaction::Tx;
use crate::{Result, bundles};

/// The bundle comes with the row, absent if there is none (SA-362).
const SELECT: &str = "SELECT t.id, t.trust_domain, t.bundle_endpoint_url, t.bundle_endpoint_profile, t.endpoint_spiffe_id, b.data \
     FROM federated_trust_domains t LEFT JOIN bundles b ON b.trust_domain = 'spiffe://' || t.trust_domain";

impl Datastore {
    /// Stores a relationship and, if given, its bundle.
    ///
    /// # Errors
    /// Already exists, and then the bundle is not written either; missing URL or endpoint ID.
    pub async fn create_federation_relationship(
        &self,
        relationship: &FederationRelationship,
    ) -> Result<FederationRelationship> {
        validate(relationship, &FederationMask::ALL)?;
        let mut tx = self.begin_write().await?;
        if let Some(bundle) = &relationship.bundle {
            set_bundle(&mut tx, bundle).await?;
        }
        let mut query = Query::build();
        query.push(
            "INSERT INTO federated_trust_domains (created_at, updated_at, trust_domain, bundle_endpoint_url, \
             bundle_endpoint_profile, endpoint_spiffe_id, implicit)",
        );
        query.push_rows(1, 7);
        query.add(tx.stamp()).add(tx.stamp()).add(relationship.trust_domain.as_str());
        query.add(relationship.bundle_endpoint_url.as_str()).add(relationship.profile.name());
        query.add(endpoint_id(&relationship.profile).unwrap_or_default()).add(false);
        tx.execute(query).await?;
        tx.changed(Change::Federation(relationship.trust_domain.clone()));
        tx.commit().await?;
        Ok(relationship.clone())
    }

    pub async fn fetch_federation_relationship(
        &self,
        trust_domain: &TrustDomain,
    ) -> Result<Option<FederationRelationship>> {
        let mut tx = self.begin_read().await?;
        fetch(&mut tx, trust_domain).await
    }

    /// Relationships in row order, and the token of the next page (SA-019).
    ///
    /// # Errors
    /// One row with an unknown profile or a bad endpoint ID fails the whole list.
    pub async fn list_federation_relationships(
        &self,
        page: Option<&Page>,
    ) -> Result<(Vec<FederationRelationship>, String)> {
        let cut = page::cut(page, TokenError::Plain)?;
        let mut query = Query::build();
        query.push(SELECT);
        if let Some(after) = cut.and_then(|cut| cut.after) {
            query.push(" WHERE t.id > ?").add(after);
        }
        query.push(" ORDER BY t.id");
        if let Some(cut) = cut {
            query.push(" LIMIT ?").add(cut.limit);
        }
        let mut last = None;
        let all = self
            .read_all(query, |row| {
                last = Some(row.int(0)?);
                read(row)
            })
            .await?;
        Ok((all, page::next_token(cut.is_some(), last)))
    }

    /// Overwrites the masked parts. A change to `https_web` keeps the old endpoint ID in its column (SA-117).
    ///
    /// # Errors
    /// Not found; missing URL or endpoint ID.
    pub async fn update_federation_relationship(
        &self,
        relationship: &FederationRelationship,
        mask: &FederationMask,
    ) -> Result<FederationRelationship> {
        validate(relationship, mask)?;
        let td = &relationship.trust_domain;
        let mut tx = self.begin_write().await?;
        let mut find = Query::build();
        find.push("SELECT id FROM federated_trust_domains WHERE trust_domain = ?").add(td.as_str());
        find.push(tx.dialect().for_update());
        let row_id = tx.first(find, |row| row.int(0)).await?.ok_or_else(|| {
            DatastoreError::status(
                Code::NotFound,
                "unable to fetch federation relationship: record not found",
            )
        })?;
        let mut query = Query::build();
        query.push("UPDATE federated_trust_domains SET updated_at = ?").add(tx.stamp());
        if mask.bundle_endpoint_url {
            query.push(", bundle_endpoint_url = ?").add(relationship.bundle_endpoint_url.as_str());
        }
        if mask.bundle_endpoint_profile {
            query.push(", bundle_endpoint_profile = ?").add(relationship.profile.name());
            if let Some(id) = endpoint_id(&relationship.profile) {
                query.push(", endpoint_spiffe_id = ?").add(id);
            }
        }
        query.push(" WHERE id = ?").add(row_id);
        if let Some(bundle) = relationship.bundle.as_ref().filter(|_| mask.trust_domain_bundle) {
            set_bundle(&mut tx, bundle).await?;
        }
        tx.execute(query).await?;
        let updated = fetch(&mut tx, td).await?.ok_or_else(DatastoreError::record_not_found)?;
        tx.changed(Change::Federation(td.clone()));
        tx.commit().await?;
        Ok(updated)
    }

    /// Removes the relationship; the bundle stays.
    ///
    /// # Errors
    /// Not found.
    pub async fn delete_federation_relationship(&self, trust_domain: &TrustDomain) -> Result<()> {
        let mut tx = self.begin_write().await?;
        let query = Query::new("DELETE FROM federated_trust_domains WHERE trust_domain = ?");
        if tx.execute(query.bind(trust_domain.as_str())).await? == 0 {
            return Err(DatastoreError::record_not_found());
        }
        tx.changed(Change::Federation(trust_domain.clone()));
        tx.commit().await
    }
}

async fn set_bundle(tx: &mut Tx, bundle: &Bundle) -> Result<()> {
    bundles::set(tx, bundle).await.map(|_| ()).map_err(|error| error.context("unable to set bundle"))
}

async fn fetch(tx: &mut Tx, trust_domain: &TrustDomain) -> Result<Option<FederationRelationship>> {
    let mut query = Query::build();
    query.push(SELECT).push(" WHERE t.trust_domain = ?").add(trust_domain.as_str());
    tx.first(query, read).await
}

fn endpoint_id(profile: &EndpointProfile) -> Option<String> {
    match profile {
        EndpointProfile::HttpsWeb => None,
        EndpointProfile::HttpsSpiffe { endpoint_spiffe_id } => Some(endpoint_spiffe_id.to_string()),
    }
}

fn validate(relationship: &FederationRelationship, mask: &FederationMask) -> Result<()> {
    if mask.bundle_endpoint_url && relationship.bundle_endpoint_url.is_empty() {
        return Err(DatastoreError::status(Code::InvalidArgument, "bundle endpoint URL is required"));
    }
    Ok(())
}

fn read(row: Row<'_>) -> Result<FederationRelationship> {
    let trust_domain = TrustDomain::parse(row.text(1)?)
        .map_err(|error| DatastoreError::sql(format!("unable to parse trust domain: {error}")))?;
    let profile = match row.text(3)? {
        "https_web" => EndpointProfile::HttpsWeb,
        "https_spiffe" => EndpointProfile::HttpsSpiffe {
            endpoint_spiffe_id: row.text(4)?.parse().map_err(|error| {
                DatastoreError::status(
                    Code::Unknown,
                    format!("unable to parse bundle endpoint SPIFFE ID: {error}"),
                )
            })?,
        },
        other => {
            return Err(DatastoreError::status(
                Code::Unknown,
                format!("unknown bundle endpoint profile type: {other:?}"),
            ));
        }
    };
    let bundle = match row.bytes(5)? {
        Some(data) => Some(bundles::decode(Some(data))?.to_bundle(trust_domain.clone())),
        None => None,
    };
    Ok(FederationRelationship { trust_domain, bundle_endpoint_url: row.text(2)?.to_owned(), profile, bundle })
}
