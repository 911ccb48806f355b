//! Which of the remembered authorities are still good (CA-056 to CA-060).

use std::sync::Arc;

use spire_crypto::x509::Certificate;
use spire_datastore::blob::{JournalBlob, Stored};
use spire_plugin::ManagedKey;
use spire_proto::private::{JwtKeyEntry, X509caEntry};
use spire_runtime::logging::LogValue;
use spire_types::{Bundle, SlotStatus};
use time::OffsetDateTime;

use super::{AuthorityManager, RotateError, State};
use crate::journal::slot_status;
use crate::sign::{ActiveJwt, ActiveX509};
use crate::slot::{Jwt, Kind, Letter, Pair, Slot, X509};

impl AuthorityManager {
    pub(super) async fn restore(&self) -> Result<(), RotateError> {
        let mut state = self.state.lock().await;
        let blob = &state.journal.blob;
        tracing::info!(
            jwt_keys = blob.jwt_keys.len(),
            subsystem_name = "ca_manager",
            wit_keys = blob.wit_keys.len(),
            x509_cas = blob.x509_cas.len(),
            "Journal loaded"
        );
        let bundle = self.datastore.fetch_bundle(&self.settings().trust_domain).await?;
        let (x509, jwt) = usable(&state.journal.blob, bundle.as_ref());
        let mut found = Found::default();
        for entry in x509.iter().rev() {
            if found.take(self.x509_slot(entry).await?) {
                break;
            }
        }
        state.x509 = found.pair();
        let mut found = Found::default();
        for entry in jwt.iter().rev() {
            if found.take(self.jwt_slot(entry).await?) {
                break;
            }
        }
        state.jwt = found.pair();
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

    /// The key of a slot, if it is still the one that the entry speaks of (CA-057).
    async fn key_for<K: Kind>(
        &self,
        slot: &Slot<K>,
        public_key: &[u8],
    ) -> Result<Result<Arc<dyn ManagedKey>, &'static str>, RotateError> {
        Ok(match self.keys.key(&slot.key_id()).await? {
            None => Err("no key manager key"),
            Some(key) if key.public_key().pkix() != public_key => {
                Err("public key does not match key manager key")
            }
            Some(key) => Ok(key),
        })
    }

    fn letter(&self, slot_id: &str, not_after: i64) -> Result<Letter, &'static str> {
        let letter = Letter::parse(slot_id).ok_or("no slot id")?;
        if not_after < self.clock.unix() { Err("slot expired") } else { Ok(letter) }
    }

    async fn x509_slot(&self, entry: &X509caEntry) -> Result<Option<Slot<X509>>, RotateError> {
        let unusable = |reason| {
            tracing::warn!(
                error = reason,
                issued_at = LogValue::from(at(entry.issued_at)).as_value(),
                local_authority_id = entry.authority_id,
                slot = entry.slot_id,
                status = slot_status(entry.status).as_str(),
                subsystem_name = "ca_manager",
                upstream_authority_id = entry.upstream_authority_id,
                "X509CA slot unusable"
            );
            Ok(None)
        };
        let mut slot = match self.letter(&entry.slot_id, entry.not_after) {
            Ok(letter) => Slot::empty(letter),
            Err(reason) => return unusable(reason),
        };
        let certificate = Certificate::parse(&entry.certificate).map_err(RotateError::Certificate)?;
        match self.key_for(&slot, certificate.public_key()?.pkix()).await? {
            Ok(key) => {
                let material = Arc::new(ActiveX509::new(key, certificate)?);
                slot.fill(material, at(entry.issued_at), slot_status(entry.status));
                Ok(Some(slot))
            }
            Err(reason) => unusable(reason),
        }
    }

    async fn jwt_slot(&self, entry: &JwtKeyEntry) -> Result<Option<Slot<Jwt>>, RotateError> {
        let unusable = |reason| {
            tracing::warn!(
                error = reason,
                issued_at = LogValue::from(at(entry.issued_at)).as_value(),
                local_authority_id = entry.authority_id,
                slot = entry.slot_id,
                status = slot_status(entry.status).as_str(),
                subsystem_name = "ca_manager",
                "JWT key slot unusable"
            );
            Ok(None)
        };
        let mut slot = match self.letter(&entry.slot_id, entry.not_after) {
            Ok(letter) => Slot::empty(letter),
            Err(reason) => return unusable(reason),
        };
        match self.key_for(&slot, &entry.public_key).await? {
            Ok(key) => {
                let material = ActiveJwt { key, key_id: entry.kid.clone(), not_after: at(entry.not_after) };
                slot.fill(Arc::new(material), at(entry.issued_at), slot_status(entry.status));
                Ok(Some(slot))
            }
            Err(reason) => unusable(reason),
        }
    }
}

fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH)
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

/// The newest active one is current, the newest other one is next; unlike upstream an older active entry never wins
/// over a newer (CA-058, CA-559).
struct Found<K: Kind> {
    current: Option<Slot<K>>,
    next: Option<Slot<K>>,
}

impl<K: Kind> Default for Found<K> {
    fn default() -> Self {
        Self { current: None, next: None }
    }
}

impl<K: Kind> Found<K> {
    /// Takes slots from the newest on; says when nothing is left to be found, so that what is older is not even looked
    /// at.
    fn take(&mut self, slot: Option<Slot<K>>) -> bool {
        if let Some(slot) = slot {
            let active = slot.status == SlotStatus::Active;
            let place = if active { &mut self.current } else { &mut self.next };
            place.get_or_insert(slot);
        }
        self.current.is_some() && self.next.is_some()
    }

    fn pair(self) -> Pair<K> {
        match (self.current, self.next) {
            (Some(current), Some(next)) if current.letter != next.letter => Pair { current, next },
            (Some(current), _) | (None, Some(current)) => {
                let next = Slot::empty(current.letter.other());
                Pair { current, next }
            }
            (None, None) => Pair::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use SlotStatus::{Active, Old, Prepared};

    use super::*;

    #[test]
    fn the_newest_fill_the_places_and_older_ones_are_not_looked_at() {
        // CA-058, CA-559
        use Letter::{A, B};
        let cases: [(&[_], _, usize); 5] = [
            (&[], (A, B), 0),
            (&[(B, Prepared), (A, Active), (B, Old)], (A, B), 2),
            (&[(A, Active), (A, Active), (B, Old), (A, Old)], (A, B), 3),
            (&[(B, Active)], (B, A), 1),
            (&[(B, Prepared)], (B, A), 1),
        ];
        for (newest_first, expected, looked_at) in cases {
            let mut found = Found::<Jwt>::default();
            let mut count = 0;
            for (letter, status) in newest_first {
                count += 1;
                if found.take(Some(Slot { status: *status, ..Slot::empty(*letter) })) {
                    break;
                }
            }
            let pair = found.pair();
            assert_eq!(((pair.current.letter, pair.next.letter), count), (expected, looked_at));
        }
    }
}
