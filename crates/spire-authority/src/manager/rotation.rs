//! The reconciling pass: slots against the clock (CA-027 to CA-042).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use spire_crypto::random;
use spire_runtime::Chain;
use spire_runtime::logging::LogValue;
use spire_types::{Bundle, JwtAuthority, SlotStatus, X509Authority};
use time::OffsetDateTime;

use super::{AuthorityManager, RotateError, State};
use crate::sign::{ActiveJwt, ActiveX509, self_signed};
use crate::slot::{Slot, X509};

/// Authorities leave the bundle this long after their end (CA-004).
const BUNDLE_GRACE: Duration = Duration::from_secs(24 * 3600);
/// Journals of servers that are gone leave after this (CA-005).
const JOURNAL_GRACE: Duration = Duration::from_secs(14 * 24 * 3600);

impl AuthorityManager {
    /// The first pass; its failure is fatal (CA-001).
    pub async fn initialize(&self) -> Result<(), RotateError> {
        self.rotate().await
    }

    /// A periodic pass: prepares and activates what is due. The next one tries again what failed (CA-034).
    pub async fn rotate_if_due(&self) {
        // Logged and counted where it failed.
        let _ = self.rotate().await;
    }

    /// CA-032. Gives the first failure back; all are logged and counted.
    async fn rotate(&self) -> Result<(), RotateError> {
        let mut state = self.state.lock().await;
        let x509 = self.rotate_x509(&mut state).await;
        if let Err(error) = &x509 {
            self.failed("Unable to rotate X509 CA", error);
            // Without an X.509 authority the journal cannot be stored.
            if state.x509.current.is_empty() {
                return x509;
            }
        }
        let jwt = self.rotate_jwt(&mut state).await;
        if let Err(error) = &jwt {
            self.failed("Unable to rotate JWT key", error);
        }
        x509.and(jwt)
    }

    fn failed(&self, message: &str, error: &RotateError) {
        tracing::error!(error = %Chain(error), subsystem_name = "ca_rotator", "{message}");
        self.failed_rotations.fetch_add(1, Ordering::Relaxed);
    }

    async fn rotate_x509(&self, state: &mut State) -> Result<(), RotateError> {
        let now = self.clock.now();
        if state.x509.current.is_empty() {
            self.prepare_x509_slot(state).await?;
            self.activate_current_x509(state).await;
        }
        if state.x509.next.is_empty() && state.x509.current.should_prepare_next(now) {
            self.prepare_x509_slot(state).await?;
        }
        if state.x509.current.should_activate_next(now) && !state.x509.next.is_empty() {
            self.rotate_x509_slots(state).await;
        }
        Ok(())
    }

    async fn rotate_jwt(&self, state: &mut State) -> Result<(), RotateError> {
        if self.settings().disable_jwt_svids {
            return Ok(());
        }
        let now = self.clock.now();
        if state.jwt.current.is_empty() {
            self.prepare_jwt_slot(state).await?;
            self.activate_current_jwt(state).await;
        }
        if state.jwt.next.is_empty() && state.jwt.current.should_prepare_next(now) {
            self.prepare_jwt_slot(state).await?;
        }
        if state.jwt.current.should_activate_next(now) && !state.jwt.next.is_empty() {
            self.rotate_jwt_slots(state).await;
        }
        Ok(())
    }

    /// Key, certificate, bundle, slot, journal, in this order: the root is
    /// published before it can sign, and a crash between any two steps leaves
    /// what the next pass repairs (CA-036, CA-038).
    pub(super) async fn prepare_x509_slot(&self, state: &mut State) -> Result<(), RotateError> {
        let issued_at = self.clock.now();
        let slot = state.x509.free();
        let letter = slot.letter.as_str();
        tracing::debug!(slot = letter, subsystem_name = "ca_manager", "Preparing X509 CA");
        slot.retire();
        let key = self.keys.generate_key(&slot.key_id(), self.settings().ca_key_type).await?;
        let certificate = self_signed(self.settings(), &*key, issued_at).await?;
        let mut addition = Bundle::empty(self.settings().trust_domain.clone());
        addition.x509_authorities.push(X509Authority { der: certificate.der().clone(), tainted: false });
        self.datastore.append_bundle(&addition).await?;
        self.bundle_changed.nudge();
        let der = certificate.der().clone();
        slot.fill(Arc::new(ActiveX509::new(key, certificate)?), issued_at, SlotStatus::Prepared);
        let State { journal, x509, .. } = state;
        let slot = match x509.current.letter.as_str() == letter {
            true => &x509.current,
            false => &x509.next,
        };
        if let Err(error) = journal.append_x509(slot, &der).await {
            tracing::error!(
                error = %Chain(&error),
                slot = letter,
                subsystem_name = "ca_manager",
                "Unable to append X509 CA to journal"
            );
        }
        tracing::info!(
            expiration = LogValue::from(slot.not_after).as_value(),
            issued_at = LogValue::from(slot.issued_at).as_value(),
            local_authority_id = slot.authority_id,
            self_signed = true,
            slot = letter,
            subsystem_name = "ca_manager",
            upstream_authority_id = "",
            "X509 CA prepared"
        );
        Ok(())
    }

    /// CA-037
    pub(super) async fn prepare_jwt_slot(&self, state: &mut State) -> Result<(), RotateError> {
        let issued_at = self.clock.now();
        let slot = state.jwt.free();
        let letter = slot.letter.as_str();
        tracing::debug!(slot = letter, subsystem_name = "ca_manager", "Preparing JWT key");
        slot.retire();
        let key = self.keys.generate_key(&slot.key_id(), self.settings().jwt_key_type).await?;
        let not_after = issued_at + self.settings().ca_ttl;
        let active = ActiveJwt { key_id: random::key_id()?, not_after, key };
        let public_key = active.key.public_key().shared_pkix();
        let mut addition = Bundle::empty(self.settings().trust_domain.clone());
        addition.jwt_authorities.push(JwtAuthority {
            key_id: active.key_id.clone(),
            public_key: public_key.clone(),
            expires_at: not_after.unix_timestamp(),
            tainted: false,
        });
        self.datastore.append_bundle(&addition).await?;
        self.bundle_changed.nudge();
        slot.fill(Arc::new(active), issued_at, SlotStatus::Prepared);
        let State { journal, jwt, .. } = state;
        let slot = match jwt.current.letter.as_str() == letter {
            true => &jwt.current,
            false => &jwt.next,
        };
        if let Err(error) = journal.append_jwt(slot, &public_key).await {
            tracing::error!(
                error = %Chain(&error),
                slot = letter,
                subsystem_name = "ca_manager",
                "Unable to append JWT key to journal"
            );
        }
        tracing::info!(
            expiration = LogValue::from(slot.not_after).as_value(),
            issued_at = LogValue::from(slot.issued_at).as_value(),
            local_authority_id = slot.authority_id,
            slot = letter,
            subsystem_name = "ca_manager",
            "JWT key prepared"
        );
        Ok(())
    }

    /// Journal first, then the signer is swapped (CA-039).
    pub(super) async fn activate_current_x509(&self, state: &mut State) {
        let slot = &mut state.x509.current;
        let Some(material) = slot.material.clone() else { return };
        slot.status = SlotStatus::Active;
        tracing::info!(
            expiration = LogValue::from(slot.not_after).as_value(),
            issued_at = LogValue::from(slot.issued_at).as_value(),
            local_authority_id = slot.authority_id,
            slot = slot.letter.as_str(),
            subsystem_name = "ca_manager",
            upstream_authority_id = "",
            "X509 CA activated"
        );
        warn_if_early(slot, &material, self.clock.now());
        if let Err(error) = state.journal.set_x509_status(&slot.authority_id, SlotStatus::Active).await {
            tracing::error!(
                error = %Chain(&error),
                subsystem_name = "ca_manager",
                "Failed to update to activated status on X509CA journal entry"
            );
        }
        self.authority.activate_x509(material);
        tracing::debug!(
            subsystem_name = "ca_manager",
            trust_domain_id = self.settings().trust_domain.id_string(),
            ttl = (slot.not_after - self.clock.now()).as_seconds_f64(),
            "Successfully rotated X.509 CA"
        );
    }

    pub(super) async fn activate_current_jwt(&self, state: &mut State) {
        let slot = &mut state.jwt.current;
        let Some(material) = slot.material.clone() else { return };
        slot.status = SlotStatus::Active;
        tracing::info!(
            expiration = LogValue::from(slot.not_after).as_value(),
            issued_at = LogValue::from(slot.issued_at).as_value(),
            local_authority_id = slot.authority_id,
            slot = slot.letter.as_str(),
            subsystem_name = "ca_manager",
            "JWT key activated"
        );
        if let Err(error) = state.journal.set_jwt_status(&slot.authority_id, SlotStatus::Active).await {
            tracing::error!(
                error = %Chain(&error),
                subsystem_name = "ca_manager",
                "Failed to update to activated status on JWTKey journal entry"
            );
        }
        self.authority.activate_jwt(material);
    }

    /// CA-040
    pub(super) async fn rotate_x509_slots(&self, state: &mut State) {
        state.x509.rotate();
        let old = &state.x509.next.authority_id;
        if let Err(error) = state.journal.set_x509_status(old, SlotStatus::Old).await {
            tracing::error!(
                error = %Chain(&error),
                subsystem_name = "ca_manager",
                "Failed to update status on X509CA journal entry"
            );
        }
        self.activate_current_x509(state).await;
    }

    pub(super) async fn rotate_jwt_slots(&self, state: &mut State) {
        state.jwt.rotate();
        let old = &state.jwt.next.authority_id;
        if let Err(error) = state.journal.set_jwt_status(old, SlotStatus::Old).await {
            tracing::error!(
                error = %Chain(&error),
                subsystem_name = "ca_manager",
                "Failed to update status on JWTKey journal entry"
            );
        }
        self.activate_current_jwt(state).await;
    }

    /// Takes out of the bundle what ended long enough ago (CA-079).
    pub async fn prune_bundle(&self) {
        let before = self.clock.unix() - BUNDLE_GRACE.as_secs() as i64;
        match self.datastore.prune_bundle(&self.settings().trust_domain, before).await {
            Ok(true) => {
                self.bundle_changed.nudge();
                tracing::debug!(
                    subsystem_name = "ca_manager",
                    "Expired certificates were successfully pruned from bundle"
                );
            }
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = %RotateError::PruneBundle(error),
                subsystem_name = "ca_rotator",
                "Could not prune CA certificates"
            ),
        }
    }

    /// Takes away journals of servers that are gone (CA-054).
    pub async fn prune_journals(&self) {
        let before = self.clock.unix() - JOURNAL_GRACE.as_secs() as i64;
        if let Err(error) = self.datastore.prune_ca_journals(before).await {
            tracing::error!(
                error = %RotateError::PruneJournals(error),
                subsystem_name = "ca_rotator",
                "Could not prune CA journals"
            );
        }
    }
}

/// SPIRE signs with an authority whose time has not come, too, and leaves it to all who verify to find out (CA-202).
fn warn_if_early(slot: &Slot<X509>, active: &ActiveX509, now: OffsetDateTime) {
    let not_before = active.certificate.not_before();
    if now < not_before {
        tracing::warn!(
            current_time = LogValue::from(now).as_value(),
            local_authority_id = slot.authority_id,
            not_before = LogValue::from(not_before).as_value(),
            slot = slot.letter.as_str(),
            subsystem_name = "ca_manager",
            "X509 CA is not valid yet: until then, whatever it signs is refused. Either the clock of this host is wrong \
             now, or it was when the CA was made; then prepare and activate another one with \"localauthority x509\" \
             and restart"
        );
    }
}
