use spire_datastore::{Datastore, DatastoreSettings};
use spire_runtime::{SystemClock, build_info};

use crate::support::{Fixture, agent, entry, rows, sql};

async fn reopen(f: &Fixture, disable_migration: bool) -> Result<(), String> {
    f.store.close().await;
    let settings =
        DatastoreSettings { disable_migration, ..DatastoreSettings::sqlite(f.path().display().to_string()) };
    match Datastore::open(settings, SystemClock::shared()).await {
        Ok(store) => {
            store.close().await;
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn version(f: &Fixture) -> String {
    rows(&f.path(), "SELECT version, code_version FROM migrations ORDER BY id").await.join(",")
}

#[tokio::test]
async fn new_database_says_its_version_even_with_migration_disabled() {
    // SA-307, SA-308
    let f = Fixture::new().await;
    assert_eq!(version(&f).await, format!("25|{}", build_info::VERSION));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new");
    let settings = DatastoreSettings {
        disable_migration: true,
        ..DatastoreSettings::sqlite(path.display().to_string())
    };
    Datastore::open(settings, SystemClock::shared()).await.unwrap();
}

#[tokio::test]
async fn database_without_migrations_counts_as_new_and_keeps_what_it_holds() {
    // SA-307
    let f = Fixture::new().await;
    f.store.create_entry(&entry("/web", &["a:1"])).await.unwrap();
    f.store.close().await;
    sql(
        &f.path(),
        "DROP TABLE migrations; DROP TABLE join_tokens; ALTER TABLE registered_entries DROP COLUMN additional_attributes",
    )
    .await;
    let again = Fixture::in_dir(f.dir.clone()).await;
    assert_eq!(again.store.list_entries(&Default::default()).await.unwrap().0.len(), 1);
    assert_eq!(again.store.take_join_token("none").await.unwrap(), None);
    assert_eq!(version(&again).await, format!("25|{}", build_info::VERSION));
}

#[tokio::test]
async fn index_names_are_unquoted_so_that_go_finds_them() {
    // SA-294
    let f = Fixture::new().await;
    let indexes =
        f.rows("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").await;
    assert_eq!(indexes.len(), 17);
    for line in indexes {
        let (name, text) = line.split_once('|').unwrap();
        assert!(text.contains(&format!("INDEX {name} ON")), "{text}");
    }
}

#[tokio::test]
async fn stored_code_version_only_grows() {
    // SA-309, SA-316
    let f = Fixture::new().await;
    for (stored, after) in [
        ("1.15.3-dev-unk", build_info::VERSION),
        ("", build_info::VERSION),
        ("1.14.6", build_info::VERSION),
        ("1.15.4", "1.15.4"),
        ("1.99.0", "1.99.0"),
    ] {
        sql(&f.path(), &format!("UPDATE migrations SET code_version = '{stored}'")).await;
        reopen(&f, false).await.unwrap();
        assert_eq!(version(&f).await, format!("25|{after}"), "{stored}");
    }
    sql(&f.path(), "UPDATE migrations SET code_version = 'v1.x'").await;
    let error = reopen(&f, false).await.unwrap_err();
    assert_eq!(
        error,
        "datastore-sql: error getting DB code version: unable to parse code version from DB: No Major.Minor.Patch elements found"
    );
}

#[tokio::test]
async fn older_schemas_are_brought_up_column_by_column() {
    // SA-306, SA-312
    let f = Fixture::new().await;
    f.store.create_entry(&entry("/web", &["a:1"])).await.unwrap();
    f.store.record_attestation(agent("/spire/agent/x")).await.unwrap();
    f.store.close().await;
    sql(
        &f.path(),
        "ALTER TABLE attested_node_entries DROP COLUMN agent_version; ALTER TABLE registered_entries DROP COLUMN additional_attributes; \
         UPDATE migrations SET version = 23, code_version = '1.13.0'",
    )
    .await;
    reopen(&f, false).await.unwrap();
    assert_eq!(version(&f).await, format!("25|{}", build_info::VERSION));
    let again = Fixture::in_dir(f.dir.clone()).await;
    assert_eq!(again.store.list_entries(&Default::default()).await.unwrap().0.len(), 1);
    assert_eq!(again.store.list_agents(&Default::default()).await.unwrap().0[0].agent_version, "");
    // Go looks for the column name followed by a space (SA-294).
    let text = again.rows("SELECT sql FROM sqlite_master WHERE name = 'registered_entries'").await.remove(0);
    assert!(text.contains("\"additional_attributes\" "), "{text}");
}

#[tokio::test]
async fn schemas_out_of_reach_are_refused() {
    // SA-310, SA-311, SA-312, SA-314
    let f = Fixture::new().await;
    for (schema, code, disabled, expected) in [
        (
            22,
            "1.12.0",
            false,
            Err(
                "datastore-sql: migrating from schema version 22 requires a previous SPIRE release; please follow the upgrade strategy at doc/upgrading.md",
            ),
        ),
        (24, "1.13.0", true, Err("datastore-sql: auto-migration must be enabled for current DB")),
        (24, "1.14.0", true, Ok(())),
        (26, "1.16.0", false, Ok(())),
        (26, "1.17.0", false, Err("datastore-sql: incompatible DB schema and code version")),
        (26, "1.16.0", true, Ok(())),
    ] {
        sql(&f.path(), &format!("UPDATE migrations SET version = {schema}, code_version = '{code}'")).await;
        let outcome = reopen(&f, disabled).await;
        assert_eq!(outcome.as_ref().map_err(String::as_str).copied(), expected, "{schema} {code}");
        assert_eq!(version(&f).await, format!("{schema}|{code}"));
    }
    sql(&f.path(), "DELETE FROM migrations").await;
    let error = reopen(&f, false).await.unwrap_err();
    assert!(error.starts_with("datastore-sql: migrating from schema version 0 requires"), "{error}");
    assert_eq!(version(&f).await, "0|");
}
