//! Which of the remembered authorities are still good (CA-056 to CA-060).

use std::sync::Arc;

use spire_crypto::x509::Certificate;
use spire_datastore::blob::{JournalBlob, Stored};
use spire_plugin::ManagedKey;
use spire_proto::private::{JwtKeyEntry, X509caEntry};
use spire_types::{Bundle, SlotStatus};
use time::OffsetDateTime;

use super::{AuthorityManager, RotateError, State};
use crate::journal::slot_status;
use crate::sign::{ActiveJwt, ActiveX509};
use crate::slot::{Jwt, Kind, Letter, Pair, Slot, X509};

impl AuthorityManager {
    pub(super) async fn restore(&self) -> Result<(), RotateError> {
        let mut state = self.state.lock().await;
        let bundle = self.datastore.fetch_bundle(&self.settings().trust_domain).await?;
        let (x509, jwt) = usable(&state.journal.blob, bundle.as_ref());
        let mut x509_slots = Vec::new();
        for entry in x509 {
            x509_slots.extend(self.x509_slot(&entry).await?);
        }
        let mut jwt_slots = Vec::new();
        for entry in jwt {
            jwt_slots.extend(self.jwt_slot(&entry).await?);
        }
        tracing::info!(
            jwt_keys = jwt_slots.len(),
            subsystem_name = "ca_manager",
            wit_keys = 0,
            x509_cas = x509_slots.len(),
            "Journal loaded"
        );
        state.x509 = choose(x509_slots);
        state.jwt = choose(jwt_slots);
        self.activate_restored(&mut state).await;
        Ok(())
    }

    async fn activate_restored(&self, state: &mut State) {
        let now = self.clock.now();
        if !state.x509.current.is_empty() && !state.x509.current.should_activate_next(now) {
            self.activate_current_x509(state).await;
        }
        if !state.jwt.current.is_empty() && !state.jwt.current.should_activate_next(now) {
            self.activate_current_jwt(state).await;
        }
    }

    async fn key_for<K: Kind>(
        &self,
        slot: &Slot<K>,
        public_key: &[u8],
        not_after: i64,
    ) -> Result<Result<Arc<dyn ManagedKey>, &'static str>, RotateError> {
        if not_after < self.clock.unix() {
            return Ok(Err("slot expired"));
        }
        Ok(match self.keys.key(&slot.key_id()).await? {
            None => Err("no key manager key"),
            Some(key) if key.public_key().pkix() != public_key => {
                Err("public key does not match key manager key")
            }
            Some(key) => Ok(key),
        })
    }

    async fn x509_slot(&self, entry: &X509caEntry) -> Result<Option<Slot<X509>>, RotateError> {
        let Some(letter) = Letter::parse(&entry.slot_id) else {
            unusable(
                "X509CA slot unusable",
                &entry.slot_id,
                "no slot id",
                entry.issued_at,
                &entry.authority_id,
            );
            return Ok(None);
        };
        let certificate = Certificate::parse(&entry.certificate)?;
        let mut slot = Slot::empty(letter);
        let public_key = certificate.public_key()?;
        match self.key_for(&slot, public_key.pkix(), entry.not_after).await? {
            Ok(key) => {
                let material = Arc::new(ActiveX509::new(key, certificate)?);
                slot.fill(material, at(entry.issued_at), slot_status(entry.status));
                Ok(Some(slot))
            }
            Err(reason) => {
                unusable(
                    "X509CA slot unusable",
                    &entry.slot_id,
                    reason,
                    entry.issued_at,
                    &entry.authority_id,
                );
                Ok(None)
            }
        }
    }

    async fn jwt_slot(&self, entry: &JwtKeyEntry) -> Result<Option<Slot<Jwt>>, RotateError> {
        let Some(letter) = Letter::parse(&entry.slot_id) else {
            unusable(
                "JWT key slot unusable",
                &entry.slot_id,
                "no slot id",
                entry.issued_at,
                &entry.authority_id,
            );
            return Ok(None);
        };
        let mut slot = Slot::empty(letter);
        match self.key_for(&slot, &entry.public_key, entry.not_after).await? {
            Ok(key) => {
                let material = ActiveJwt { key, key_id: entry.kid.clone(), not_after: at(entry.not_after) };
                slot.fill(Arc::new(material), at(entry.issued_at), slot_status(entry.status));
                Ok(Some(slot))
            }
            Err(reason) => {
                unusable(
                    "JWT key slot unusable",
                    &entry.slot_id,
                    reason,
                    entry.issued_at,
                    &entry.authority_id,
                );
                Ok(None)
            }
        }
    }
}

fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn unusable(message: &str, slot: &str, reason: &str, issued_at: i64, authority_id: &str) {
    tracing::warn!(
        error = reason,
        issued_at = %at(issued_at),
        local_authority_id = authority_id,
        slot,
        subsystem_name = "ca_manager",
        "{message}"
    );
}

/// Entries that the stored bundle does not know are passed over (CA-056).
fn usable(blob: &JournalBlob, bundle: Option<&Bundle>) -> (Vec<X509caEntry>, Vec<JwtKeyEntry>) {
    let knows_root = |der: &[u8]| bundle.is_none_or(|b| b.x509_authorities.iter().any(|a| &a.der[..] == der));
    let knows_key = |kid: &str| bundle.is_none_or(|b| b.jwt_authorities.iter().any(|a| a.key_id == kid));
    let values = |entry: &Stored<X509caEntry>| entry.value.clone();
    let x509 = blob.x509_cas.iter().map(values).filter(|entry| knows_root(&entry.certificate)).collect();
    let keys =
        blob.jwt_keys.iter().map(|entry| entry.value.clone()).filter(|entry| knows_key(&entry.kid)).collect();
    (x509, keys)
}

/// The newest active one is current, the newest other one is next; unlike
/// upstream an older active entry never wins over a newer (CA-058, CA-559).
fn choose<K: Kind>(slots: Vec<Slot<K>>) -> Pair<K> {
    let (mut current, mut next): (Option<Slot<K>>, Option<Slot<K>>) = (None, None);
    for slot in slots.into_iter().rev() {
        let place = if slot.status == SlotStatus::Active { &mut current } else { &mut next };
        if place.is_none() {
            *place = Some(slot);
        }
    }
    match (current, next) {
        (Some(current), Some(next)) if current.letter != next.letter => Pair { current, next },
        (Some(current), _) | (None, Some(current)) => {
            let next = Slot::empty(current.letter.other());
            Pair { current, next }
        }
        (None, None) => Pair::new(),
    }
}
