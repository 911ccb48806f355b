//! A store in a temporary directory, and a way to look at its file with plain SQL.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use spire_datastore::{Datastore, DatastoreSettings};
use spire_runtime::ManualClock;
use spire_types::{
    AttestedAgent, Bundle, Entry, JwtAuthority, Selector, SpiffeId, TrustDomain, X509Authority,
};

/// 2026-11-24 12:11:53 UTC
pub const NOW: i64 = 1_795_522_313;

pub struct Fixture {
    pub store: Datastore,
    pub clock: ManualClock,
    pub dir: Arc<tempfile::TempDir>,
}

impl Fixture {
    pub async fn new() -> Self {
        Self::in_dir(Arc::new(tempfile::tempdir().unwrap())).await
    }

    pub async fn in_dir(dir: Arc<tempfile::TempDir>) -> Self {
        let clock = ManualClock::at_unix(NOW);
        let settings = DatastoreSettings::sqlite(dir.path().join("data.sqlite3").display().to_string());
        let store = Datastore::open(settings, clock.shared()).await.unwrap();
        Self { store, clock, dir }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("data.sqlite3")
    }

    /// Runs statements beside the store.
    pub async fn sql(&self, text: &str) {
        sql(&self.path(), text).await;
    }

    /// Every row of a query as text, columns joined by `|`.
    pub async fn rows(&self, text: &str) -> Vec<String> {
        rows(&self.path(), text).await
    }
}

pub async fn sql(path: &std::path::Path, text: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap();
}

pub async fn rows(path: &std::path::Path, text: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare(text).unwrap();
    let columns = statement.column_count();
    let cell = |row: &rusqlite::Row<'_>, column: usize| match row.get_ref(column).unwrap() {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    };
    statement
        .query_map([], |row| Ok((0..columns).map(|c| cell(row, c)).collect::<Vec<_>>().join("|")))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

pub fn td(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

pub fn id(path: &str) -> SpiffeId {
    SpiffeId::from_path(td("example.org"), path).unwrap()
}

pub fn selectors(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| Selector::parse(text).unwrap()).collect()
}

pub fn entry(path: &str, selector_texts: &[&str]) -> Entry {
    Entry::new(id(path), id("/spire/agent/x"), selectors(selector_texts))
}

pub fn agent(path: &str) -> AttestedAgent {
    AttestedAgent {
        spiffe_id: id(path).to_string(),
        attestation_type: "x509pop".into(),
        serial_number: "17".into(),
        not_after: NOW + 3600,
        new_serial_number: String::new(),
        new_not_after: 0,
        can_reattest: true,
        agent_version: "1.15.3".into(),
        selectors: Vec::new(),
    }
}

pub fn bundle(name: &str) -> Bundle {
    Bundle::empty(td(name))
}

pub fn root(der: &[u8]) -> X509Authority {
    X509Authority { der: der.into(), tainted: false }
}

pub fn jwt(key_id: &str, expires_at: i64) -> JwtAuthority {
    JwtAuthority { key_id: key_id.into(), public_key: (*b"pkix").into(), expires_at, tainted: false }
}
