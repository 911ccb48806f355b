//! One concrete SQL store on SPIRE's own schema (A6).
//!
//! The file, its tables, blobs, event rows and version numbers are SPIRE's: a server of either kind starts on a
//! database written by the other. Only SQLite is built in this version; everything that differs between databases
//! goes through the `dialect` module so that PostgreSQL and MySQL can follow.

mod agents;
pub mod blob;
mod bundles;
mod ca_journal;
mod certificates;
mod changes;
mod dialect;
mod entries;
mod error;
mod events;
mod federation;
mod group;
mod join_tokens;
mod migrate;
mod page;
mod schema;
mod settings;
mod sql;
mod store;
mod time_text;
mod transaction;

pub use agents::{AttestationOutcome, ListAgents, PrunedAgents};
pub use bundles::DeleteMode;
pub use ca_journal::CaJournal;
pub use changes::{Change, ChangeBatch, ChangeReceiver, Lagged};
pub use entries::{CreatedEntry, ListEntries};
pub use error::{Code, DatastoreError};
pub use events::{AgentEvent, EntryEvent, EventRange};
pub use settings::{AwsSettings, DatabaseType, DatastoreSettings};
pub use store::Datastore;

/// What nearly every operation here returns.
pub type Result<T> = std::result::Result<T, DatastoreError>;
