use spire_datastore::{Change, Code, DeleteMode};
use spire_types::{BundleMask, Page, WitAuthority};

use crate::support::{Fixture, bundle, entry, jwt, root, td};

#[tokio::test]
async fn bundle_is_stored_as_given_and_listed_by_row() {
    // SA-324..326, SA-334
    let f = Fixture::new().await;
    let mut own = bundle("example.org");
    own.x509_authorities.push(root(b"der"));
    own.jwt_authorities.push(jwt("k", 7));
    own.wit_authorities.push(WitAuthority {
        key_id: "w".into(),
        public_key: (*b"p").into(),
        expires_at: 9,
        tainted: false,
    });
    (own.refresh_hint, own.sequence_number) = (300, 42);
    f.store.create_bundle(&own).await.unwrap();
    assert_eq!(f.store.fetch_bundle(&own.trust_domain).await.unwrap().unwrap(), own);
    assert_eq!(f.store.create_bundle(&own).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(f.rows("SELECT trust_domain FROM bundles").await, ["spiffe://example.org"]);
    let other = bundle("other.org");
    assert_eq!(f.store.update_bundle(&other, &BundleMask::ALL).await.unwrap_err().code(), Code::NotFound);
    f.store.set_bundle(&other).await.unwrap();
    assert_eq!(f.store.list_bundles(None).await.unwrap(), (vec![own.clone(), other.clone()], String::new()));
    let page = Page { size: 1, token: "1".into() };
    assert_eq!(f.store.list_bundles(Some(&page)).await.unwrap(), (vec![other], "2".into()));
    assert_eq!(f.store.count_bundles().await.unwrap(), 2);

    let mut change = bundle("example.org");
    change.refresh_hint = 1;
    let mask = BundleMask {
        x509_authorities: false,
        jwt_authorities: false,
        wit_authorities: false,
        refresh_hint: true,
        sequence_number: false,
    };
    own.refresh_hint = 1;
    assert_eq!(f.store.update_bundle(&change, &mask).await.unwrap(), own);
}

#[tokio::test]
async fn append_adds_only_what_is_new_and_keeps_taint() {
    // SA-327, CA-545
    let f = Fixture::new().await;
    let mut one = bundle("example.org");
    one.x509_authorities.push(root(b"a"));
    one.sequence_number = 3;
    assert_eq!(f.store.append_bundle(&one).await.unwrap(), one);
    assert_eq!(f.store.append_bundle(&one).await.unwrap().sequence_number, 3);
    let mut tainted = one.clone();
    tainted.x509_authorities[0].tainted = true;
    f.store.set_bundle(&tainted).await.unwrap();
    let mut two = one.clone();
    two.x509_authorities.push(root(b"b"));
    two.jwt_authorities.push(jwt("k", 7));
    let merged = f.store.append_bundle(&two).await.unwrap();
    assert_eq!(merged.sequence_number, 4);
    assert_eq!(merged.x509_authorities, [tainted.x509_authorities[0].clone(), root(b"b")]);
    assert_eq!(merged.jwt_authorities, two.jwt_authorities);
}

#[tokio::test]
async fn delete_modes_treat_federated_entries_as_asked() {
    // SA-328, SA-111
    let f = Fixture::new().await;
    let other = td("other.org");
    let federated = |path: &str| {
        let mut entry = entry(path, &["a:1"]);
        entry.federates_with = vec![td("other.org")];
        entry
    };
    assert!(f.store.delete_bundle(&other, DeleteMode::Restrict).await.unwrap_err().is_not_found());
    f.store.create_bundle(&bundle("other.org")).await.unwrap();
    let kept = f.store.create_entry(&federated("/one")).await.unwrap().entry;
    let error = f.store.delete_bundle(&other, DeleteMode::Restrict).await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (
            Code::FailedPrecondition,
            "datastore-sql: cannot delete bundle; federated with 1 registration entries"
        )
    );
    let mut changes = f.store.changes();
    f.store.delete_bundle(&other, DeleteMode::Dissociate).await.unwrap();
    let batch = changes.next().await.unwrap().unwrap();
    assert_eq!(batch[..], [Change::Entry(kept.id.as_str().into()), Change::Bundle(other.clone())]);
    assert!(f.store.fetch_entry(&kept.id).await.unwrap().unwrap().federates_with.is_empty());

    f.store.create_bundle(&bundle("other.org")).await.unwrap();
    f.store.create_entry(&federated("/two")).await.unwrap();
    f.store.delete_bundle(&other, DeleteMode::Delete).await.unwrap();
    assert_eq!(f.rows("SELECT spiffe_id FROM registered_entries").await, ["spiffe://example.org/one"]);
    assert_eq!(f.rows("SELECT count(*) FROM federated_registration_entries").await, ["0"]);
    assert!(f.store.fetch_bundle(&other).await.unwrap().is_none());
}

#[tokio::test]
async fn jwt_key_must_be_tainted_before_it_is_revoked() {
    // SA-333, CA-078
    let f = Fixture::new().await;
    let own = td("example.org");
    let mut stored = bundle("example.org");
    stored.jwt_authorities = vec![jwt("a", 7), jwt("b", 7)];
    f.store.create_bundle(&stored).await.unwrap();
    let text = |error: spire_datastore::DatastoreError| (error.code(), error.to_string());
    assert_eq!(
        text(f.store.revoke_jwt_authority(&own, "a").await.unwrap_err()),
        (Code::InvalidArgument, "it is not possible to revoke an untainted key".into())
    );
    assert!(f.store.taint_jwt_authority(&own, "a").await.unwrap().tainted);
    assert_eq!(
        text(f.store.taint_jwt_authority(&own, "a").await.unwrap_err()),
        (Code::InvalidArgument, "key is already tainted".into())
    );
    assert_eq!(
        text(f.store.taint_jwt_authority(&own, "x").await.unwrap_err()),
        (Code::NotFound, "no JWT Key found with provided key ID".into())
    );
    assert_eq!(f.store.revoke_jwt_authority(&own, "a").await.unwrap().key_id, "a");
    let left = f.store.fetch_bundle(&own).await.unwrap().unwrap();
    assert_eq!((left.jwt_authorities.len(), left.sequence_number), (1, 2));
}

#[tokio::test]
async fn fields_of_newer_versions_and_wit_keys_survive_taint_and_append() {
    // SA-303, SA-399
    let f = Fixture::new().await;
    let own = td("example.org");
    // trust_domain_id, jwt key { kid "k", field 20 "new" }, wit key { kid "w" }, top-level field 15 varint 5
    let id = b"spiffe://example.org";
    let mut data = vec![0x0a, id.len() as u8];
    data.extend_from_slice(id);
    data.extend_from_slice(&[
        0x1a, 9, 0x12, 1, b'k', 0xa2, 1, 3, b'n', b'e', b'w', 0x32, 3, 0x12, 1, b'w', 0x78, 5,
    ]);
    let hex: String = data.iter().map(|byte| format!("{byte:02X}")).collect();
    f.sql(&format!("INSERT INTO bundles (trust_domain, data) VALUES ('spiffe://example.org', X'{hex}')"))
        .await;

    f.store.taint_jwt_authority(&own, "k").await.unwrap();
    let mut more = bundle("example.org");
    more.x509_authorities.push(root(b"der"));
    f.store.append_bundle(&more).await.unwrap();
    let stored = f.rows("SELECT hex(data) FROM bundles").await.remove(0);
    assert!(stored.contains("A201036E6577"), "{stored}");
    assert!(stored.contains("3203120177"), "{stored}");
    assert!(stored.ends_with("7805"), "{stored}");

    // Set keeps unknown fields of the bundle, not of the items it replaces (SA-325).
    f.store.set_bundle(&more).await.unwrap();
    let stored = f.rows("SELECT hex(data) FROM bundles").await.remove(0);
    assert!(!stored.contains("6E6577") && stored.ends_with("7805"), "{stored}");
}
