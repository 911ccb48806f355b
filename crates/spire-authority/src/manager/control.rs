//! What an operator does by hand: prepare, activate, taint, revoke
//! (CA-094 to CA-105).

use spire_crypto::x509::{Certificate, Roots};
use spire_datastore::DatastoreError;
use spire_types::{SlotStatus, X509Authority};

use super::{AuthorityManager, RotateError};
use crate::slot::{Kind, Pair, SlotView};

/// Why an operator's wish was refused; the texts are upstream's.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("server is initializing")]
    Initializing,
    #[error("no authority ID provided")]
    NoId,
    #[error("unexpected authority ID")]
    UnexpectedId,
    #[error("only Prepared authorities can be activated: unsupported local authority status: {0}")]
    NotPrepared(&'static str),
    #[error("unable to taint current local authority")]
    TaintCurrent,
    #[error("only Old local authorities can be tainted: unsupported local authority status: {0}")]
    TaintNotOld(&'static str),
    #[error("unable to use a prepared key")]
    RevokePrepared,
    #[error("unable to use current authority")]
    RevokeCurrent,
    #[error("only Old local authority can be revoked")]
    RevokeNotOld,
    #[error("no JWT authority found with provided authority ID")]
    UnknownJwt,
    #[error("no tainted root CA found with authority ID: {0:?}")]
    NotTainted(String),
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    #[error(transparent)]
    Rotate(#[from] RotateError),
}

/// Which slot may be tainted (CA-097).
fn check_taint<K: Kind>(pair: &Pair<K>, id: &str) -> Result<(), ControlError> {
    match id {
        "" => Err(ControlError::NoId),
        id if id == pair.current.authority_id => Err(ControlError::TaintCurrent),
        id if id != pair.next.authority_id => Err(ControlError::UnexpectedId),
        _ if pair.next.status != SlotStatus::Old => Err(ControlError::TaintNotOld(pair.next.status.as_str())),
        _ => Ok(()),
    }
}

/// Which slot may be activated (CA-096).
fn check_activate<K: Kind>(pair: &Pair<K>, id: &str) -> Result<(), ControlError> {
    match id {
        "" => Err(ControlError::NoId),
        id if id != pair.next.authority_id => Err(ControlError::UnexpectedId),
        _ if pair.next.status != SlotStatus::Prepared => {
            Err(ControlError::NotPrepared(pair.next.status.as_str()))
        }
        _ => Ok(()),
    }
}

impl AuthorityManager {
    /// Replaces whatever is in the next slot (CA-100).
    pub async fn prepare_x509(&self) -> Result<SlotView, ControlError> {
        let mut state = self.state.lock().await;
        if state.x509.current.status != SlotStatus::Active {
            return Err(ControlError::Initializing);
        }
        self.prepare_x509_slot(&mut state).await?;
        Ok(state.x509.next.view())
    }

    pub async fn prepare_jwt(&self) -> Result<SlotView, ControlError> {
        let mut state = self.state.lock().await;
        if state.jwt.current.status != SlotStatus::Active {
            return Err(ControlError::Initializing);
        }
        self.prepare_jwt_slot(&mut state).await?;
        Ok(state.jwt.next.view())
    }

    pub async fn activate_x509(&self, id: &str) -> Result<SlotView, ControlError> {
        let mut state = self.state.lock().await;
        check_activate(&state.x509, id)?;
        self.rotate_x509_slots(&mut state).await;
        Ok(state.x509.current.view())
    }

    pub async fn activate_jwt(&self, id: &str) -> Result<SlotView, ControlError> {
        let mut state = self.state.lock().await;
        check_activate(&state.jwt, id)?;
        self.rotate_jwt_slots(&mut state).await;
        Ok(state.jwt.current.view())
    }

    /// Marks the old root in the bundle and returns it, so that what it
    /// signed can be made anew (CA-102).
    pub async fn taint_x509(&self, id: &str) -> Result<(SlotView, Vec<X509Authority>), ControlError> {
        let state = self.state.lock().await;
        check_taint(&state.x509, id)?;
        self.datastore.taint_x509_authority(&self.settings().trust_domain, id).await?;
        self.bundle_changed.nudge();
        let bundle = self.datastore.fetch_bundle(&self.settings().trust_domain).await?;
        let tainted: Vec<X509Authority> = bundle
            .map(|bundle| bundle.x509_authorities)
            .unwrap_or_default()
            .into_iter()
            .filter(|authority| authority.tainted && has_key_id(authority, id))
            .collect();
        if tainted.is_empty() {
            return Err(ControlError::NotTainted(id.to_owned()));
        }
        Ok((state.x509.next.view(), tainted))
    }

    pub async fn taint_jwt(&self, id: &str) -> Result<(), ControlError> {
        let state = self.state.lock().await;
        check_taint(&state.jwt, id)?;
        self.datastore.taint_jwt_authority(&self.settings().trust_domain, id).await?;
        self.bundle_changed.nudge();
        Ok(())
    }

    /// CA-104
    pub async fn revoke_x509(&self, id: &str) -> Result<(), ControlError> {
        let state = self.state.lock().await;
        match id {
            "" => return Err(ControlError::NoId),
            id if id == state.x509.current.authority_id => return Err(ControlError::RevokeCurrent),
            id if id != state.x509.next.authority_id || state.x509.next.status != SlotStatus::Old => {
                return Err(ControlError::RevokeNotOld);
            }
            _ => {}
        }
        self.datastore.revoke_x509_authority(&self.settings().trust_domain, id).await?;
        self.bundle_changed.nudge();
        Ok(())
    }

    /// Any key of the bundle but the one that signs here, also of another server (CA-098).
    pub async fn revoke_jwt(&self, id: &str) -> Result<(), ControlError> {
        let state = self.state.lock().await;
        match id {
            "" => return Err(ControlError::NoId),
            id if id == state.jwt.current.authority_id => return Err(ControlError::RevokeCurrent),
            id if id == state.jwt.next.authority_id && state.jwt.next.status == SlotStatus::Prepared => {
                return Err(ControlError::RevokePrepared);
            }
            _ => {}
        }
        if id != state.jwt.next.authority_id {
            let bundle = self.datastore.fetch_bundle(&self.settings().trust_domain).await?;
            let known =
                bundle.is_some_and(|bundle| bundle.jwt_authorities.iter().any(|key| key.key_id == id));
            if !known {
                return Err(ControlError::UnknownJwt);
            }
        }
        self.datastore.revoke_jwt_authority(&self.settings().trust_domain, id).await?;
        self.bundle_changed.nudge();
        Ok(())
    }
}

fn has_key_id(authority: &X509Authority, id: &str) -> bool {
    Certificate::parse_many(&authority.der).and_then(Roots::new).is_ok_and(|roots| {
        roots.certificates().any(|root| root.subject_key_id_hex().is_ok_and(|found| found == id))
    })
}
