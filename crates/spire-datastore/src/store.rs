//! The handle that everybody holds.

use std::sync::Arc;

use spire_runtime::SharedClock;
use spire_types::{AttestedAgent, Entry, JoinToken};
use time::OffsetDateTime;

use crate::agents::AttestationOutcome;
use crate::changes::{ChangeReceiver, ChangeSender};
use crate::dialect::sqlite::{self, SqlitePools};
use crate::entries::CreatedEntry;
use crate::error::DatastoreError;
use crate::group::Group;
use crate::settings::{DatabaseType, DatastoreSettings};
use crate::sql::{Query, Row};
use crate::transaction::Tx;
use crate::{Result, migrate};

/// SPIRE's database. Cheap to clone; all clones share connections and announcements.
#[derive(Debug, Clone)]
pub struct Datastore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pools: Pools,
    clock: SharedClock,
    log_sql: bool,
    changes: ChangeSender,
    groups: Groups,
}

/// Frequent writes, each kind with others of its kind.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) entries: Arc<Group<Vec<Entry>, Vec<Result<CreatedEntry>>>>,
    pub(crate) join_tokens: Arc<Group<String, Result<Option<JoinToken>>>>,
    pub(crate) attestations: Arc<Group<AttestedAgent, Result<AttestationOutcome>>>,
}

#[derive(Debug)]
enum Pools {
    Sqlite(SqlitePools),
}

impl Datastore {
    /// Connects, creates or migrates the schema (SA-306..316) and says so in the log (SA-260).
    ///
    /// # Errors
    /// Bad settings, an unreachable or broken database, or a schema this version must not touch. A broken SQLite
    /// file is left as it is.
    pub async fn open(settings: DatastoreSettings, clock: SharedClock) -> Result<Self> {
        settings.validate()?;
        let kind = settings.database_type.name().to_owned();
        tracing::info!(subsystem_name = "sql", db_type = %kind, "Opening SQL database");
        match &settings.database_type {
            DatabaseType::Sqlite3 => {}
            DatabaseType::Other(name) => {
                return Err(DatastoreError::sql(format!("unsupported database_type: {name}")));
            }
            known => {
                return Err(DatastoreError::sql(format!(
                    "database_type {:?} is not built in this version; use \"sqlite3\"",
                    known.name()
                )));
            }
        }
        // SPIRE puts its prefix before these twice.
        let again = |error: DatastoreError| error.context("datastore-sql");
        let pools = sqlite::open(&settings).await.map_err(again)?;
        let version = sqlite::version();
        let store = Self {
            inner: Arc::new(Inner {
                pools: Pools::Sqlite(pools),
                clock,
                log_sql: settings.log_sql,
                changes: ChangeSender::new(),
                groups: Groups::default(),
            }),
        };
        migrate::migrate(&store, settings.disable_migration).await?;
        tracing::info!(subsystem_name = "sql", r#type = %kind, version = %version, read_only = false, "Connected to SQL database");
        if !settings.ro_connection_string.is_empty() {
            // SA-263: readers already run beside the writer, so there is nothing more to open.
            tracing::info!(subsystem_name = "sql", db_type = %kind, "Opening SQL database");
            tracing::warn!(
                subsystem_name = "sql",
                "Read-only connection is not applicable for sqlite3. Falling back to primary connection"
            );
            tracing::info!(subsystem_name = "sql", r#type = %kind, version = %version, read_only = true, "Connected to SQL database");
        }
        Ok(store)
    }

    /// Hears of everything this store commits from now on.
    pub fn changes(&self) -> ChangeReceiver {
        self.inner.changes.subscribe()
    }

    /// How many transactions of this store changed agents so far. It has grown before such a change is reported as
    /// done, so whoever remembers what it read at which count knows whether that is still true.
    pub fn agent_commits(&self) -> u64 {
        self.inner.changes.agent_commits()
    }

    /// Finishes what is running and closes every connection. The store must not be used afterwards.
    pub async fn close(&self) {
        let Pools::Sqlite(pools) = &self.inner.pools;
        pools.close().await;
    }

    /// Asks the database for a trivial answer.
    pub async fn ping(&self) -> Result<()> {
        self.read_one(Query::new("SELECT 1"), |row| row.int(0)).await.map(|_| ())
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.inner.groups
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.inner.clock.now()
    }

    /// A transaction that may write; waits for the one that is writing now (SA-262).
    pub(crate) async fn begin_write(&self) -> Result<Tx> {
        let Pools::Sqlite(pools) = &self.inner.pools;
        let lent = pools.writer.lend().await?;
        Ok(Tx::sqlite(
            lent,
            "BEGIN IMMEDIATE",
            self.now(),
            self.inner.log_sql,
            Some(self.inner.changes.clone()),
        ))
    }

    /// A transaction that only reads, so that several statements see the same state.
    pub(crate) async fn begin_read(&self) -> Result<Tx> {
        let Pools::Sqlite(pools) = &self.inner.pools;
        let lent = pools.readers.lend().await?;
        Ok(Tx::sqlite(lent, "BEGIN", self.now(), self.inner.log_sql, None))
    }

    /// The first row of one statement.
    pub(crate) async fn read_one<T: Send>(
        &self,
        query: Query,
        mut read: impl FnMut(Row<'_>) -> Result<T> + Send,
    ) -> Result<Option<T>> {
        let mut found = None;
        self.read_each(query, |row| {
            if found.is_none() {
                found = Some(read(row)?);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// All rows of one statement.
    pub(crate) async fn read_all<T: Send>(
        &self,
        query: Query,
        mut read: impl FnMut(Row<'_>) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.read_each(query, |row| {
            rows.push(read(row)?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Several statements that see the same state, in one round trip; `read` hears the position of the statement.
    pub(crate) async fn read_snapshot(
        &self,
        query: Query,
        read: impl FnMut(usize, Row<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        self.begin_read().await?.finish(query, read).await
    }

    /// One statement is consistent in itself and needs no transaction.
    async fn read_each(
        &self,
        query: Query,
        mut read: impl FnMut(Row<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        let Pools::Sqlite(pools) = &self.inner.pools;
        if self.inner.log_sql {
            query.log();
        }
        let lent = pools.readers.lend().await?;
        lent.connection()?.run(query, |_, row| read(row)).await.map(|_| ())
    }
}
