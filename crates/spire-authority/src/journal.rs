//! What a server remembers of its authorities (CA-043 to CA-053).

use spire_datastore::blob::{JournalBlob, Stored};
use spire_datastore::{CaJournal, Datastore, DatastoreError};
use spire_plugin::{KeyManager, PluginError};
use spire_proto::private::{JwtKeyEntry, Status, X509caEntry};
use spire_types::SlotStatus;

use crate::slot::{Jwt, Slot, X509};

/// Entries kept of each kind (CA-011).
const KEPT: usize = 10;

/// Why the journal was not read or written; the texts are whole, as upstream has them.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("failed to load journal from datastore: unable to unmarshal entries from CA journal record: {0}")]
    Undecodable(String),
    #[error("no journal entry found with authority ID {0:?}")]
    NoEntry(String),
    #[error(
        "failed to load journal from datastore: failed to find CA journal record: failed to get keys from key \
         manager: {0}"
    )]
    Keys(PluginError),
    #[error(
        "failed to load journal from datastore: failed to find CA journal record: failed to fetch CA journal from \
         datastore: {0}"
    )]
    Fetch(DatastoreError),
    #[error("could not save CA journal in the datastore: {0}")]
    Save(DatastoreError),
}

/// This server's row of `ca_journals`.
pub(crate) struct Journal {
    datastore: Datastore,
    row_id: u64,
    /// Empty until an authority was activated; then the row can be found again.
    active_x509_id: String,
    pub(crate) blob: JournalBlob,
}

pub(crate) fn wire_status(status: SlotStatus) -> i32 {
    match status {
        SlotStatus::Unknown => Status::Unknown,
        SlotStatus::Prepared => Status::Prepared,
        SlotStatus::Active => Status::Active,
        SlotStatus::Old => Status::Old,
    }
    .into()
}

pub(crate) fn slot_status(number: i32) -> SlotStatus {
    match Status::try_from(number) {
        Ok(Status::Prepared) => SlotStatus::Prepared,
        Ok(Status::Active) => SlotStatus::Active,
        Ok(Status::Old) => SlotStatus::Old,
        Ok(Status::Unknown) | Err(_) => SlotStatus::Unknown,
    }
}

impl Journal {
    /// Finds the row by the keys that are here (CA-047).
    pub(crate) async fn load(datastore: Datastore, keys: &dyn KeyManager) -> Result<Self, JournalError> {
        tracing::debug!(subsystem_name = "ca_manager", "Loading journal from datastore");
        for key in keys.keys().await.map_err(JournalError::Keys)? {
            let authority_id = key.public_key().subject_key_id_hex();
            let Some(row) = datastore.fetch_ca_journal(&authority_id).await.map_err(JournalError::Fetch)?
            else {
                continue;
            };
            tracing::debug!(
                ca_journal_id = row.id,
                local_authority_id = authority_id,
                subsystem_name = "ca_manager",
                "Found a CA journal record that matches with a local X509 authority ID"
            );
            let blob = JournalBlob::decode(&row.data)
                .map_err(|error| JournalError::Undecodable(error.to_string()))?;
            // Unlike upstream the id is known again at once (CA-546).
            return Ok(Self { datastore, row_id: row.id, active_x509_id: authority_id, blob });
        }
        tracing::info!(
            subsystem_name = "ca_manager",
            "There is not a CA journal record that matches any of the local X509 authority IDs"
        );
        Ok(Self { datastore, row_id: 0, active_x509_id: String::new(), blob: JournalBlob::default() })
    }

    pub(crate) async fn append_x509(
        &mut self,
        slot: &Slot<X509>,
        certificate: &[u8],
    ) -> Result<(), JournalError> {
        let entry = X509caEntry {
            slot_id: slot.letter.as_str().to_owned(),
            issued_at: slot.issued_at.unix_timestamp(),
            certificate: certificate.to_vec().into(),
            upstream_chain: Vec::new(),
            status: wire_status(slot.status),
            authority_id: slot.authority_id.clone(),
            not_after: slot.not_after.unix_timestamp(),
            upstream_authority_id: String::new(),
        };
        self.blob.x509_cas.push(Stored::from(entry));
        trim(&mut self.blob.x509_cas);
        self.save().await
    }

    pub(crate) async fn append_jwt(
        &mut self,
        slot: &Slot<Jwt>,
        public_key: &[u8],
    ) -> Result<(), JournalError> {
        let entry = JwtKeyEntry {
            slot_id: slot.letter.as_str().to_owned(),
            issued_at: slot.issued_at.unix_timestamp(),
            not_after: slot.not_after.unix_timestamp(),
            kid: slot.authority_id.clone(),
            public_key: public_key.to_vec().into(),
            status: wire_status(slot.status),
            authority_id: slot.authority_id.clone(),
        };
        self.blob.jwt_keys.push(Stored::from(entry));
        trim(&mut self.blob.jwt_keys);
        self.save().await
    }

    pub(crate) async fn set_x509_status(&mut self, id: &str, status: SlotStatus) -> Result<(), JournalError> {
        if status == SlotStatus::Active {
            id.clone_into(&mut self.active_x509_id);
        }
        let entry = self.blob.x509_cas.iter_mut().rev().find(|entry| entry.value.authority_id == id);
        entry.ok_or_else(|| JournalError::NoEntry(id.to_owned()))?.value.status = wire_status(status);
        self.save().await
    }

    pub(crate) async fn set_jwt_status(&mut self, id: &str, status: SlotStatus) -> Result<(), JournalError> {
        let entry = self.blob.jwt_keys.iter_mut().rev().find(|entry| entry.value.authority_id == id);
        entry.ok_or_else(|| JournalError::NoEntry(id.to_owned()))?.value.status = wire_status(status);
        self.save().await
    }

    /// Writes the whole row; a failure keeps everything for the next time (CA-050).
    async fn save(&mut self) -> Result<(), JournalError> {
        if self.active_x509_id.is_empty() {
            tracing::debug!(
                subsystem_name = "ca_manager",
                "There is no active X.509 authority yet. Can't save CA journal in the datastore"
            );
            return Ok(());
        }
        if self.row_id == 0 {
            tracing::info!(subsystem_name = "ca_manager", "Creating a new CA journal entry");
        }
        let row = CaJournal {
            id: self.row_id,
            data: self.blob.encode(),
            active_x509_authority_id: self.active_x509_id.clone(),
        };
        let stored = match self.datastore.set_ca_journal(&row).await {
            // Pruned by another server meanwhile: begin a new row.
            Err(error) if error.is_not_found() => {
                self.datastore.set_ca_journal(&CaJournal { id: 0, ..row }).await
            }
            other => other,
        };
        self.row_id = stored.map_err(JournalError::Save)?.id;
        tracing::debug!(
            ca_journal_id = self.row_id,
            local_authority_id = self.active_x509_id,
            subsystem_name = "ca_manager",
            "Successfully stored CA journal entry in datastore"
        );
        Ok(())
    }
}

fn trim<T>(entries: &mut Vec<T>) {
    let surplus = entries.len().saturating_sub(KEPT);
    entries.drain(..surplus);
}
