//! Pruning, tainting and revoking single authorities (SA-330..333).

use spire_runtime::logging::LogValue;
use spire_types::{JwtAuthority, TrustDomain, UnixSeconds};
use time::OffsetDateTime;

use super::{find, get, save};
use crate::Result;
use crate::blob::BundleBlob;
use crate::certificates;
use crate::error::{Code, DatastoreError};
use crate::store::Datastore;

impl Datastore {
    /// Drops authorities that are not valid after `expires_before`; says whether anything changed.
    ///
    /// Kinds of which nothing would be left keep everything. Upstream fails then for all kinds; here the other kinds
    /// are still pruned (CA-544), the refresh hint stays and keys that never expire do too (CA-559).
    ///
    /// # Errors
    /// `would prune all certificates`, or the same of JWT or WIT keys if nothing else was to be done.
    pub async fn prune_bundle(
        &self,
        trust_domain: &TrustDomain,
        expires_before: UnixSeconds,
    ) -> Result<bool> {
        let mut tx = self.begin_write().await?;
        let Some((row_id, mut blob)) = find(&mut tx, trust_domain).await? else { return Ok(false) };
        let changed = prune(&mut blob, expires_before).map_err(|error| error.context("prune failed"))?;
        if changed {
            blob.sequence_number += 1;
            save(&mut tx, row_id, &blob, trust_domain).await?;
            tx.commit().await?;
        }
        Ok(changed)
    }

    /// Marks every root with that subject key id (lower-case hex) as tainted.
    pub async fn taint_x509_authority(&self, trust_domain: &TrustDomain, subject_key_id: &str) -> Result<()> {
        let mut tx = self.begin_write().await?;
        let (row_id, mut blob) = get(&mut tx, trust_domain).await?;
        let mut found = false;
        for root in &mut blob.root_cas {
            if certificates::subject_key_id(&root.value.der_bytes, "rootCA")? != subject_key_id {
                continue;
            }
            if root.value.tainted_key {
                return Err(DatastoreError::status(Code::InvalidArgument, "root CA is already tainted"));
            }
            root.value.tainted_key = true;
            found = true;
        }
        if !found {
            return Err(DatastoreError::status(Code::NotFound, "no ca found with provided subject key ID"));
        }
        blob.sequence_number += 1;
        save(&mut tx, row_id, &blob, trust_domain).await?;
        tx.commit().await
    }

    /// Removes every root with that subject key id (lower-case hex); all of them must be tainted.
    pub async fn revoke_x509_authority(
        &self,
        trust_domain: &TrustDomain,
        subject_key_id: &str,
    ) -> Result<()> {
        let mut tx = self.begin_write().await?;
        let (row_id, mut blob) = get(&mut tx, trust_domain).await?;
        let mut kept = Vec::with_capacity(blob.root_cas.len());
        let before = blob.root_cas.len();
        for root in blob.root_cas {
            if certificates::subject_key_id(&root.value.der_bytes, "root CA")? != subject_key_id {
                kept.push(root);
            } else if !root.value.tainted_key {
                return Err(DatastoreError::status(
                    Code::InvalidArgument,
                    "it is not possible to revoke an untainted root CA",
                ));
            }
        }
        if kept.len() == before {
            return Err(DatastoreError::status(
                Code::NotFound,
                "no root CA found with provided subject key ID",
            ));
        }
        blob.root_cas = kept;
        blob.sequence_number += 1;
        save(&mut tx, row_id, &blob, trust_domain).await?;
        tx.commit().await
    }

    /// Marks the JWT key with that id as tainted and returns it.
    pub async fn taint_jwt_authority(
        &self,
        trust_domain: &TrustDomain,
        key_id: &str,
    ) -> Result<JwtAuthority> {
        let mut tx = self.begin_write().await?;
        let (row_id, mut blob) = get(&mut tx, trust_domain).await?;
        let mut tainted = None;
        for key in blob.jwt_signing_keys.iter_mut().filter(|key| key.value.kid == key_id) {
            if key.value.tainted_key {
                return Err(DatastoreError::status(Code::InvalidArgument, "key is already tainted"));
            }
            if tainted.is_some() {
                return Err(DatastoreError::status(
                    Code::Internal,
                    "another JWT Key found with the same KeyID",
                ));
            }
            key.value.tainted_key = true;
            tainted = Some(crate::blob::jwt_authority(&key.value));
        }
        let tainted = tainted.ok_or_else(no_jwt_key)?;
        blob.sequence_number += 1;
        save(&mut tx, row_id, &blob, trust_domain).await?;
        tx.commit().await?;
        Ok(tainted)
    }

    /// Removes the JWT key with that id, which must be tainted, and returns it.
    pub async fn revoke_jwt_authority(
        &self,
        trust_domain: &TrustDomain,
        key_id: &str,
    ) -> Result<JwtAuthority> {
        let mut tx = self.begin_write().await?;
        let (row_id, mut blob) = get(&mut tx, trust_domain).await?;
        let mut revoked = None;
        for key in blob.jwt_signing_keys.iter().filter(|key| key.value.kid == key_id) {
            if revoked.is_some() {
                return Err(DatastoreError::status(Code::Internal, "another key found with the same KeyID"));
            }
            if !key.value.tainted_key {
                return Err(DatastoreError::status(
                    Code::InvalidArgument,
                    "it is not possible to revoke an untainted key",
                ));
            }
            revoked = Some(crate::blob::jwt_authority(&key.value));
        }
        let revoked = revoked.ok_or_else(no_jwt_key)?;
        blob.jwt_signing_keys.retain(|key| key.value.kid != key_id);
        blob.sequence_number += 1;
        save(&mut tx, row_id, &blob, trust_domain).await?;
        tx.commit().await?;
        Ok(revoked)
    }
}

fn no_jwt_key() -> DatastoreError {
    DatastoreError::status(Code::NotFound, "no JWT Key found with provided key ID")
}

fn prune(blob: &mut BundleBlob, at: UnixSeconds) -> Result<bool> {
    let mut roots = Vec::with_capacity(blob.root_cas.len());
    for root in &blob.root_cas {
        match certificates::ended(&root.value.der_bytes, at)? {
            None => roots.push(root.clone()),
            Some(certificate) => tracing::info!(
                expiration = LogValue::from(certificate.not_after()).as_value(),
                serial_num = certificate.serial_decimal(),
                subsystem_name = "sql",
                "Pruning CA certificate due to expiration"
            ),
        }
    }
    if roots.is_empty() {
        tracing::warn!(subsystem_name = "sql", "Pruning halted; all known CA certificates have expired");
        return Err(DatastoreError::status(Code::Unknown, "would prune all certificates"));
    }
    let mut changed = roots.len() != blob.root_cas.len();
    blob.root_cas = roots;
    let mut refused = None;
    for (keys, what) in [(&mut blob.jwt_signing_keys, "JWT"), (&mut blob.wit_signing_keys, "WIT")] {
        let lasting = |not_after: i64| not_after == 0 || not_after > at;
        let ended = keys.iter().filter(|key| !lasting(key.value.not_after)).count();
        if ended == 0 {
            continue;
        }
        if ended == keys.len() {
            tracing::warn!(
                subsystem_name = "sql",
                "Pruning halted; all known {what} signing keys have expired"
            );
            refused = refused.or(Some(what));
            continue;
        }
        for key in keys.extract_if(.., |key| !lasting(key.value.not_after)) {
            let at = OffsetDateTime::from_unix_timestamp(key.value.not_after);
            tracing::info!(
                expiration = LogValue::from(at.unwrap_or(OffsetDateTime::UNIX_EPOCH)).as_value(),
                kid = key.value.kid,
                subsystem_name = "sql",
                "Pruning {what} signing key due to expiration"
            );
        }
        changed = true;
    }
    match refused {
        Some(what) if !changed => {
            Err(DatastoreError::status(Code::Unknown, format!("would prune all {what} signing keys")))
        }
        _ => Ok(changed),
    }
}
