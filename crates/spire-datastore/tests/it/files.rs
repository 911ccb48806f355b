use std::sync::Arc;

use spire_datastore::{DatabaseType, Datastore, DatastoreSettings};
use spire_runtime::SystemClock;

use crate::support::{Fixture, entry, rows};

async fn open_error(settings: DatastoreSettings) -> String {
    Datastore::open(settings, SystemClock::shared()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn broken_files_are_refused_and_left_alone() {
    // SA-258 and the brief: corrupt or truncated means a clear error and an untouched file
    let dir = tempfile::tempdir().unwrap();
    let garbage = dir.path().join("garbage");
    std::fs::write(&garbage, "this is no database, but it is long enough to be looked at; ".repeat(4))
        .unwrap();

    let f = Fixture::new().await;
    let batch: Vec<_> = (0..500).map(|n| entry(&format!("/w{n}"), &["a:1"])).collect();
    f.store.create_entries_batch(&batch).await;
    f.store.close().await;
    let cut = dir.path().join("cut");
    let whole = std::fs::read(f.path()).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let short = dir.path().join("short");
    std::fs::write(&short, &whole[..50]).unwrap();

    for (path, expected) in [
        (garbage, "datastore-sql: datastore-sql: file is not a database"),
        (cut, "datastore-sql: datastore-sql: database disk image is malformed"),
        (short, "datastore-sql: datastore-sql: database disk image is malformed"),
    ] {
        let before = std::fs::read(&path).unwrap();
        let error = open_error(DatastoreSettings::sqlite(path.display().to_string())).await;
        assert_eq!(error, expected);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn unreachable_places_and_absent_databases_are_explained() {
    let error = open_error(DatastoreSettings::sqlite("/nonexistent/dir/data.sqlite3")).await;
    assert_eq!(
        error,
        "datastore-sql: datastore-sql: unable to open database file: no such file or directory"
    );
    let dir = tempfile::tempdir().unwrap();
    let error = open_error(DatastoreSettings::sqlite(dir.path().display().to_string())).await;
    assert_eq!(error, "datastore-sql: datastore-sql: unable to open database file: is a directory");
    let absent = dir.path().join("absent?mode=ro");
    let error = open_error(DatastoreSettings::sqlite(absent.display().to_string())).await;
    assert_eq!(
        error,
        "datastore-sql: datastore-sql: unable to open database file: no such file or directory"
    );
    // SA-258
    for (kind, expected) in [
        (
            DatabaseType::Postgres,
            "datastore-sql: database_type \"postgres\" is not built in this version; use \"sqlite3\"",
        ),
        (DatabaseType::from_name("oracle"), "datastore-sql: unsupported database_type: oracle"),
    ] {
        let settings = DatastoreSettings { database_type: kind, ..DatastoreSettings::sqlite("x") };
        assert_eq!(open_error(settings).await, expected);
    }
}

#[tokio::test]
async fn file_is_in_wal_mode_and_readers_run_beside_the_writer() {
    // SA-261, SA-262
    let f = Fixture::new().await;
    assert_eq!(rows(&f.path(), "PRAGMA journal_mode").await, ["wal"]);
    let store = Arc::new(f.store.clone());
    let writers = (0..4).map(|w| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..25 {
                store.create_entry(&entry(&format!("/w{w}/{n}"), &["a:1"])).await.unwrap();
            }
        })
    });
    let readers = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                let (entries, _) = store.list_entries(&Default::default()).await.unwrap();
                assert!(entries.iter().all(|entry| entry.selectors.len() == 1));
            }
        })
    });
    for task in writers.chain(readers).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(f.store.count_entries(&Default::default()).await.unwrap(), 100);
}

#[tokio::test]
async fn abandoned_and_failed_writes_leave_no_transaction_open() {
    let f = Fixture::new().await;
    let mut written = 0;
    for n in 0..300u32 {
        let entry = entry(&format!("/w{n}"), &["a:1"]);
        let write = f.store.create_entry(&entry);
        let read = f.store.fetch_entry("x");
        // Cut off after some polls, wherever that is.
        let mut polls = 0;
        let mut write = std::pin::pin!(write);
        let outcome = std::future::poll_fn(|context| {
            polls += 1;
            match write.as_mut().poll(context) {
                std::task::Poll::Ready(outcome) => std::task::Poll::Ready(Some(outcome)),
                std::task::Poll::Pending if polls > n % 7 => std::task::Poll::Ready(None),
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        })
        .await;
        written += usize::from(matches!(outcome, Some(Ok(_))));
        let _ = futures::FutureExt::now_or_never(read);
    }
    f.store.create_entry(&entry("/last", &["a:1"])).await.unwrap();
    let (entries, _) = f.store.list_entries(&Default::default()).await.unwrap();
    assert!(entries.len() > written);
    assert!(entries.iter().all(|entry| entry.selectors.len() == 1), "half an entry was committed");

    f.store.delete_entry("nope").await.unwrap_err();
    f.store.create_join_token(&spire_types::JoinToken { token: "t".into(), expires_at: 1 }).await.unwrap();
    f.store
        .create_join_token(&spire_types::JoinToken { token: "t".into(), expires_at: 1 })
        .await
        .unwrap_err();
    // Somebody else can write, so ours holds no lock.
    f.sql("DELETE FROM join_tokens").await;
    assert_eq!(f.store.count_entries(&Default::default()).await.unwrap(), entries.len() as u64);
}

#[tokio::test]
async fn connections_end_and_settings_bound_them() {
    // SA-259
    let dir = tempfile::tempdir().unwrap();
    let settings = DatastoreSettings {
        max_open_conns: Some(1),
        max_idle_conns: Some(0),
        conn_max_lifetime: Some(std::time::Duration::from_nanos(1)),
        ..DatastoreSettings::sqlite(dir.path().join("data").display().to_string())
    };
    let store = Datastore::open(settings, SystemClock::shared()).await.unwrap();
    store.create_entry(&entry("/web", &["a:1"])).await.unwrap();
    let counts =
        futures::future::join_all((0..8).map(|_| async { store.count_entry_rows().await.unwrap() })).await;
    assert_eq!(counts, [1; 8]);
    store.close().await;
    assert!(store.ping().await.is_err());
}

#[tokio::test]
async fn clean_end_leaves_one_file_behind() {
    let f = Fixture::new().await;
    f.store.create_entry(&entry("/web", &["a:1"])).await.unwrap();
    f.store.list_entries(&Default::default()).await.unwrap();
    f.store.close().await;
    assert_eq!(std::fs::read_dir(f.dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn in_memory_database_works_as_long_as_it_is_open() {
    let store = Datastore::open(DatastoreSettings::sqlite(":memory:"), SystemClock::shared()).await.unwrap();
    store.create_entry(&entry("/web", &["a:1"])).await.unwrap();
    assert_eq!(store.count_entries(&Default::default()).await.unwrap(), 1);
    store.ping().await.unwrap();
}

/// Every query that the API can send many times per second, and the index that must carry it.
#[tokio::test]
async fn lookups_among_many_entries_use_indexes() {
    let f = Fixture::new().await;
    f.store.create_entry(&entry("/web", &["a:1"])).await.unwrap();
    for (query, index) in [
        (
            "SELECT * FROM registered_entries WHERE true AND spiffe_id = 'x' AND +parent_id = 'y' ORDER BY id",
            "idx_registered_entries_spiffe_id",
        ),
        (
            "SELECT * FROM registered_entries WHERE true AND parent_id = 'y' AND id > 5 ORDER BY id LIMIT 10",
            "idx_registered_entries_parent_id",
        ),
        (
            "SELECT * FROM registered_entries WHERE true AND hint = 'y' ORDER BY id",
            "idx_registered_entries_hint",
        ),
        (
            "SELECT registered_entry_id FROM selectors WHERE type = 'x' AND value = 'y'",
            "idx_selectors_type_value",
        ),
        (
            "SELECT registered_entry_id FROM selectors WHERE (type, value) IN (VALUES ('x','y'),('x','z'))",
            "idx_selectors_type_value",
        ),
        (
            "SELECT * FROM registered_entries WHERE true AND spiffe_id = 'x' AND EXISTS (SELECT 1 FROM selectors s WHERE s.registered_entry_id = registered_entries.id AND (s.type, s.value) IN (VALUES ('x','y'),('x','z')))",
            "idx_selector_entry",
        ),
        (
            "SELECT count(*) FROM registered_entries WHERE true AND spiffe_id = 'x' AND NOT EXISTS (SELECT 1 FROM selectors s WHERE s.registered_entry_id = registered_entries.id AND (s.type, s.value) NOT IN (VALUES ('x','y'),('x','z')))",
            "idx_selector_entry",
        ),
        (
            "SELECT spiffe_id, type, value FROM node_resolver_map_entries WHERE spiffe_id IN ('a','b') ORDER BY spiffe_id, type, value",
            "idx_node_resolver_map",
        ),
        (
            "SELECT registered_entry_id, id, type, value FROM selectors WHERE registered_entry_id IN (1,2) ORDER BY registered_entry_id",
            "idx_selector_entry",
        ),
        (
            "SELECT * FROM registered_entries WHERE entry_id IN ('a','b') ORDER BY id",
            "uix_registered_entries_entry_id",
        ),
    ] {
        let plan = f.rows(&format!("EXPLAIN QUERY PLAN {query}")).await.join("\n");
        assert!(plan.contains(index), "{query}\n{plan}");
        // Values of the query itself are nothing to look up.
        assert!(!plan.replace("SCAN 2-ROW VALUES CLAUSE", "").contains("SCAN"), "{query}\n{plan}");
    }
}
