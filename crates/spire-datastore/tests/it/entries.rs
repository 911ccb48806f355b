use spire_datastore::{Change, Code};
use spire_types::{AdditionalAttributes, EntryMask};

use crate::support::{Fixture, NOW, bundle, entry, id, selectors, td};

const EVENTS: &str = "SELECT entry_id FROM registered_entries_events ORDER BY id";

#[tokio::test]
async fn created_entry_is_read_back_with_every_field_and_order() {
    // SA-346, SA-351, SA-352, SA-299, SA-368
    let f = Fixture::new().await;
    f.store.create_bundle(&bundle("other.org")).await.unwrap();
    let mut wanted = entry("/web", &["unix:uid:9", "unix:gid:1", "docker:label:a:b"]);
    wanted.dns_names = vec!["z.example".into(), "a.example".into()];
    wanted.federates_with = vec![td("other.org"), td("other.org")];
    (wanted.x509_svid_ttl, wanted.jwt_svid_ttl, wanted.expires_at) = (60, 30, NOW + 5);
    (wanted.admin, wanted.downstream, wanted.hint) = (true, true, "internal".into());
    wanted.additional_attributes =
        Some(AdditionalAttributes { disable_x509_svid_prefetch: true, jwt_svid_include_jti: false });
    wanted.revision_number = 99;
    let created = f.store.create_entry(&wanted).await.unwrap();
    assert!(!created.existing);
    wanted.id = created.entry.id.clone();
    wanted.federates_with.truncate(1);
    (wanted.revision_number, wanted.created_at) = (0, NOW);
    assert_eq!(wanted.id.len(), 36);
    // The answer to a write has the order of the indexes, as SPIRE's has.
    let mut answered = wanted.clone();
    answered.selectors.reverse();
    answered.dns_names.reverse();
    assert_eq!(created.entry, answered);
    assert_eq!(f.store.fetch_entry(&wanted.id).await.unwrap().as_ref(), Some(&wanted));
    assert_eq!(f.rows(EVENTS).await, [wanted.id.as_str()]);
    assert_eq!(f.store.fetch_entry("nope").await.unwrap(), None);
}

#[tokio::test]
async fn new_rows_hold_empty_strings_and_zeros_not_null() {
    // SA-295, SA-296, SA-400
    let f = Fixture::new().await;
    let created = f.store.create_entry(&entry("/web", &["unix:uid:9"])).await.unwrap();
    assert_eq!(
        f.rows("SELECT created_at, updated_at, ttl, admin, downstream, expiry, revision_number, store_svid, hint, jwt_svid_ttl, additional_attributes FROM registered_entries").await,
        ["2026-11-24 12:11:53+00:00|2026-11-24 12:11:53+00:00|0|0|0|0|0|0||0|NULL"]
    );
    // Additional attributes that are all default are stored empty and read back as absent (SA-304).
    let mut other = entry("/db", &["unix:uid:9"]);
    other.additional_attributes = Some(AdditionalAttributes::default());
    let other = f.store.create_entry(&other).await.unwrap().entry;
    assert_eq!(other.additional_attributes, None);
    assert_eq!(f.store.fetch_entry(&other.id).await.unwrap().unwrap(), other);
    // Rows of old releases (SA-295).
    f.sql("UPDATE registered_entries SET store_svid = NULL, hint = NULL, jwt_svid_ttl = NULL, revision_number = NULL, admin = NULL").await;
    assert_eq!(f.store.fetch_entry(&created.entry.id).await.unwrap().unwrap(), created.entry);
}

#[tokio::test]
async fn similar_entry_is_returned_instead_of_written() {
    // SA-347
    let f = Fixture::new().await;
    let first = f.store.create_entry(&entry("/web", &["a:1", "b:2"])).await.unwrap().entry;
    let mut twin = entry("/web", &["b:2", "a:1"]);
    (twin.hint, twin.admin, twin.id) = ("other".into(), true, "custom".into());
    let found = f.store.create_entry(&twin).await.unwrap();
    assert!(found.existing);
    assert_eq!(found.entry, first);
    for different in
        [entry("/web", &["a:1"]), entry("/web", &["a:1", "b:2", "c:3"]), entry("/web2", &["a:1", "b:2"])]
    {
        assert!(!f.store.create_entry(&different).await.unwrap().existing);
    }
    assert_eq!(f.rows(EVENTS).await.len(), 4);
}

#[tokio::test]
async fn batch_gives_every_item_its_own_result() {
    // SA-017, SA-078, SA-079, SA-348, SA-349
    let f = Fixture::new().await;
    let mut changes = f.store.changes();
    let mut taken = entry("/taken", &["a:1"]);
    taken.id = "taken".into();
    f.store.create_entry(&taken).await.unwrap();
    let mut clash = entry("/clash", &["a:1"]);
    clash.id = "taken".into();
    clash.federates_with = vec![td("nowhere.org")];
    let mut foreign = entry("/foreign", &["a:1"]);
    foreign.federates_with = vec![td("nowhere.org")];
    let mut names = entry("/names", &["a:1"]);
    names.dns_names = vec!["x".into(), "x".into()];
    let batch = [
        entry("/one", &["a:1"]),
        clash,
        foreign,
        entry("/double", &["a:1", "a:1"]),
        names,
        entry("/none", &[]),
        entry("/one", &["a:1"]),
        entry("/two", &["a:1"]),
    ];
    let results = f.store.create_entries_batch(&batch).await;
    let texts: Vec<_> = results
        .iter()
        .map(|result| match result {
            Ok(created) => format!("{} {}", created.entry.spiffe_id.path(), created.existing),
            Err(error) => format!("{:?} {error}", error.code()),
        })
        .collect();
    assert_eq!(
        texts,
        [
            "/one false",
            "AlreadyExists datastore-sql: UNIQUE constraint failed: registered_entries.entry_id",
            "Unknown unable to find federated bundle \"spiffe://nowhere.org\"",
            "AlreadyExists datastore-sql: UNIQUE constraint failed: selectors.registered_entry_id, selectors.type, selectors.value",
            "AlreadyExists datastore-sql: UNIQUE constraint failed: dns_names.registered_entry_id, dns_names.value",
            "InvalidArgument datastore-validation: invalid registration entry: missing selector list",
            "/one true",
            "/two false",
        ]
    );
    assert_eq!(f.rows("SELECT count(*) FROM registered_entries").await, ["3"]);
    assert_eq!(f.rows("SELECT count(*) FROM selectors").await, ["3"]);
    assert_eq!(f.rows(EVENTS).await.len(), 3);
    assert_eq!(changes.next().await.unwrap().unwrap()[..], [Change::Entry("taken".into())]);
    assert_eq!(changes.next().await.unwrap().unwrap().len(), 2);
    assert!(changes.try_next().is_none());
}

#[tokio::test]
async fn big_batch_without_trouble_is_written_whole() {
    // SA-017
    let f = Fixture::new().await;
    let batch: Vec<_> = (0..250).map(|n| entry(&format!("/w{n}"), &["a:1", &format!("b:{n}")])).collect();
    let results = f.store.create_entries_batch(&batch).await;
    assert!(results.iter().all(|result| !result.as_ref().unwrap().existing));
    let again = f.store.create_entries_batch(&batch).await;
    assert!(again.iter().zip(&results).all(|(again, first)| {
        let again = again.as_ref().unwrap();
        again.existing && again.entry == first.as_ref().unwrap().entry
    }));
    assert_eq!(f.store.count_entries(&Default::default()).await.unwrap(), 250);
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_in_upstreams_words() {
    // SA-345
    let f = Fixture::new().await;
    let attributes = AdditionalAttributes { disable_x509_svid_prefetch: true, jwt_svid_include_jti: false };
    let with = |change: fn(&mut spire_types::Entry)| {
        let mut entry = entry("/web", &["a:1"]);
        change(&mut entry);
        entry
    };
    let mut cached = entry("/web", &["a:1"]);
    (cached.store_svid, cached.additional_attributes) = (true, Some(attributes));
    let mut mixed = entry("/web", &["a:1", "b:1"]);
    mixed.store_svid = true;
    for (entry, expected) in [
        (with(|e| e.selectors.clear()), "invalid registration entry: missing selector list"),
        (cached, "specifying cache behaviour is incompatible with storable SVIDs"),
        (mixed, "invalid registration entry: selector types must be the same when store SVID is enabled"),
        (with(|e| e.id = "x".repeat(256)), "invalid registration entry: entry ID too long"),
        (with(|e| e.id = "a b".into()), "invalid registration entry: entry ID contains invalid characters"),
        (with(|e| e.x509_svid_ttl = -1), "invalid registration entry: X509SvidTtl is not set"),
        (with(|e| e.jwt_svid_ttl = -1), "invalid registration entry: JwtSvidTtl is not set"),
    ] {
        let error = f.store.create_entry(&entry).await.unwrap_err();
        assert_eq!(error.to_string(), format!("datastore-validation: {expected}"));
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn update_writes_masked_fields_and_always_a_revision_and_an_event() {
    // SA-353, SA-354, SA-080
    let f = Fixture::new().await;
    f.store.create_bundle(&bundle("other.org")).await.unwrap();
    let mut original = entry("/web", &["a:1", "b:2"]);
    original.dns_names = vec!["one".into(), "two".into()];
    original.federates_with = vec![td("other.org")];
    let original = f.store.create_entry(&original).await.unwrap().entry;

    let none = EntryMask { hint: true, ..no_fields() };
    let mut change = entry("/ignored", &[]);
    (change.id, change.hint) = (original.id.clone(), "h".into());
    let updated = f.store.update_entry(&change, &none).await.unwrap();
    let mut expected = original.clone();
    (expected.hint, expected.revision_number) = ("h".into(), 1);
    assert_eq!(updated, expected);

    let mut all = entry("/new", &["c:3"]);
    (all.id, all.parent_id, all.dns_names) = (original.id.clone(), id("/spire/server"), vec!["three".into()]);
    all.additional_attributes =
        Some(AdditionalAttributes { disable_x509_svid_prefetch: false, jwt_svid_include_jti: true });
    let updated = f.store.update_entry(&all, &EntryMask::ALL).await.unwrap();
    (all.revision_number, all.created_at) = (2, NOW);
    assert_eq!(updated, all);
    assert_eq!(f.store.fetch_entry(&all.id).await.unwrap().unwrap(), all);
    assert_eq!(f.rows("SELECT type, value FROM selectors").await, ["c|3"]);
    assert_eq!(f.rows("SELECT count(*) FROM federated_registration_entries").await, ["0"]);
    assert_eq!(f.rows(EVENTS).await.len(), 3);

    // Masked in but absent clears the column.
    let mut clear = all.clone();
    clear.additional_attributes = None;
    f.store.update_entry(&clear, &EntryMask { additional_attributes: true, ..no_fields() }).await.unwrap();
    assert_eq!(f.rows("SELECT additional_attributes FROM registered_entries").await, ["NULL"]);
}

#[tokio::test]
async fn failed_update_changes_nothing() {
    // SA-322, SA-349
    let f = Fixture::new().await;
    let original = f.store.create_entry(&entry("/web", &["a:1"])).await.unwrap().entry;
    let mut missing = original.clone();
    missing.id = "nope".into();
    let error = f.store.update_entry(&missing, &EntryMask::ALL).await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (Code::NotFound, "datastore-sql: record not found")
    );
    let mut foreign = original.clone();
    foreign.federates_with = vec![td("nowhere.org")];
    let error = f.store.update_entry(&foreign, &EntryMask::ALL).await.unwrap_err();
    assert_eq!(error.to_string(), "unable to find federated bundle \"spiffe://nowhere.org\"");
    let mut double = original.clone();
    double.selectors = selectors(&["a:1", "a:1"]);
    let error = f.store.update_entry(&double, &EntryMask::ALL).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists);
    assert_eq!(f.store.fetch_entry(&original.id).await.unwrap().unwrap(), original);
    assert_eq!(f.rows(EVENTS).await.len(), 1);
}

#[tokio::test]
async fn deleting_takes_everything_along() {
    // SA-355
    let f = Fixture::new().await;
    f.store.create_bundle(&bundle("other.org")).await.unwrap();
    let mut doomed = entry("/web", &["a:1"]);
    doomed.dns_names = vec!["one".into()];
    doomed.federates_with = vec![td("other.org")];
    let doomed = f.store.create_entry(&doomed).await.unwrap().entry;
    f.store.delete_entry(&doomed.id).await.unwrap();
    for table in ["registered_entries", "selectors", "dns_names", "federated_registration_entries"] {
        assert_eq!(f.rows(&format!("SELECT count(*) FROM {table}")).await, ["0"], "{table}");
    }
    assert_eq!(f.rows(EVENTS).await.len(), 2);
    assert!(f.store.delete_entry(&doomed.id).await.unwrap_err().is_not_found());
    // An entry of an old release whose ID does not parse any more.
    let broken = f.store.create_entry(&entry("/web", &["a:1"])).await.unwrap().entry.id;
    f.sql("UPDATE registered_entries SET spiffe_id = 'nonsense'").await;
    f.store.delete_entry(&broken).await.unwrap();
}

#[tokio::test]
async fn trust_domains_come_in_the_order_of_their_names() {
    // SA-352: however the bundles came
    let f = Fixture::new().await;
    for name in ["m.org", "z.org", "a.org"] {
        f.store.create_bundle(&bundle(name)).await.unwrap();
    }
    let mut federated = entry("/web", &["a:1"]);
    federated.federates_with = vec![td("z.org"), td("a.org"), td("z.org")];
    let created = f.store.create_entry(&federated).await.unwrap().entry;
    assert_eq!(created.federates_with, [td("a.org"), td("z.org")]);
    federated.id = created.id.clone();
    federated.federates_with = vec![td("z.org"), td("m.org")];
    let updated = f.store.update_entry(&federated, &EntryMask::ALL).await.unwrap();
    assert_eq!(updated.federates_with, [td("z.org"), td("m.org")], "what was there comes first");
    let fetched = f.store.fetch_entry(&created.id).await.unwrap().unwrap();
    assert_eq!(fetched.federates_with, [td("m.org"), td("z.org")]);
}

#[tokio::test]
async fn expired_entries_are_pruned_with_an_event_each() {
    // SA-356
    let f = Fixture::new().await;
    for (path, expires_at) in [("/never", 0), ("/past", NOW - 1), ("/now", NOW), ("/old", 1)] {
        let mut entry = entry(path, &["a:1"]);
        entry.expires_at = expires_at;
        f.store.create_entry(&entry).await.unwrap();
    }
    assert_eq!(f.store.prune_entries(NOW).await.unwrap(), 2);
    assert_eq!(
        f.rows("SELECT spiffe_id FROM registered_entries ORDER BY id").await,
        ["spiffe://example.org/never", "spiffe://example.org/now"]
    );
    assert_eq!(f.rows(EVENTS).await.len(), 6);
    assert_eq!(f.store.prune_entries(NOW).await.unwrap(), 0);
}

#[tokio::test]
async fn children_without_entry_are_ignored() {
    // SA-329
    let f = Fixture::new().await;
    f.sql("INSERT INTO selectors (registered_entry_id, type, value) VALUES (1, 'x', 'y'), (7, 'x', 'y'); INSERT INTO dns_names (registered_entry_id, value) VALUES (2, 'z')").await;
    f.sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('registered_entries', 10)").await;
    let created = f.store.create_entry(&entry("/web", &["a:1"])).await.unwrap().entry;
    let (listed, _) = f.store.list_entries(&Default::default()).await.unwrap();
    assert_eq!(listed, [created]);
}

fn no_fields() -> EntryMask {
    EntryMask {
        spiffe_id: false,
        parent_id: false,
        selectors: false,
        x509_svid_ttl: false,
        jwt_svid_ttl: false,
        federates_with: false,
        admin: false,
        downstream: false,
        expires_at: false,
        dns_names: false,
        revision_number: false,
        store_svid: false,
        hint: false,
        created_at: false,
        additional_attributes: false,
    }
}

#[tokio::test]
async fn callers_at_the_same_time_share_transactions_and_keep_their_own_results() {
    // SA-347: a twin is found whoever wrote it, and a failure stays with its entry.
    let f = Fixture::new().await;
    let mut missing = entry("/bad", &["unix:uid:1"]);
    missing.federates_with = vec![td("nobody.org")];
    let entries: Vec<_> = (0..20).map(|n| entry(&format!("/w{}", n / 2), &["unix:uid:1"])).collect();
    let created = futures::future::join_all(entries.iter().map(|entry| f.store.create_entry(entry)));
    let (created, failed) = tokio::join!(created, f.store.create_entry(&missing));
    assert!(failed.unwrap_err().to_string().contains("unable to find federated bundle"));
    let created: Vec<_> = created.into_iter().map(Result::unwrap).collect();
    assert_eq!(created.iter().filter(|one| one.existing).count(), 10);
    for pair in created.chunks(2) {
        assert_eq!(pair[0].entry.id, pair[1].entry.id);
    }
    assert_eq!(f.rows(EVENTS).await.len(), 10);
}
