use spire_datastore::blob::JournalBlob;
use spire_datastore::{CaJournal, Code};
use spire_proto::private::{JwtKeyEntry, X509caEntry};

use crate::support::{Fixture, NOW};

fn journal(not_after: i64, active: &str) -> CaJournal {
    let mut blob = JournalBlob::default();
    blob.x509_cas.push(X509caEntry { not_after: 1, ..Default::default() }.into());
    blob.jwt_keys.push(JwtKeyEntry { not_after, ..Default::default() }.into());
    CaJournal { id: 0, data: blob.encode(), active_x509_authority_id: active.into() }
}

#[tokio::test]
async fn journal_is_inserted_then_overwritten_by_id() {
    // SA-364, SA-365, CA-043
    let f = Fixture::new().await;
    let mut first = f.store.set_ca_journal(&journal(NOW, "aa")).await.unwrap();
    assert_eq!(first.id, 1);
    first.active_x509_authority_id = "bb".into();
    assert_eq!(f.store.set_ca_journal(&first).await.unwrap(), first);
    let second = f.store.set_ca_journal(&journal(NOW, "bb")).await.unwrap();
    assert_eq!(f.store.fetch_ca_journal("bb").await.unwrap(), Some(second.clone()));
    assert_eq!(f.store.fetch_ca_journal("aa").await.unwrap(), None);
    assert_eq!(
        f.store.fetch_ca_journal("").await.unwrap_err().to_string(),
        "active X509 authority ID is required"
    );
    assert_eq!(f.store.list_ca_journals().await.unwrap(), [first, second]);
    assert_eq!(f.rows("SELECT active_jwt_authority_id FROM ca_journals").await, ["", ""]);
    let gone = CaJournal { id: 9, ..journal(NOW, "x") };
    assert!(f.store.set_ca_journal(&gone).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn journals_of_dead_servers_are_pruned() {
    // SA-367, CA-054
    let f = Fixture::new().await;
    f.store.set_ca_journal(&journal(NOW + 1, "live")).await.unwrap();
    f.store.set_ca_journal(&journal(NOW, "dead")).await.unwrap();
    f.store.set_ca_journal(&CaJournal::default()).await.unwrap();
    assert_eq!(f.store.prune_ca_journals(NOW).await.unwrap(), 2);
    assert_eq!(f.rows("SELECT active_x509_authority_id FROM ca_journals").await, ["live"]);
    f.sql("UPDATE ca_journals SET data = X'0AFF'").await;
    let error = f.store.prune_ca_journals(NOW).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert!(error.to_string().starts_with("unable to unmarshal entries from CA journal record: "), "{error}");
}

#[tokio::test]
async fn fields_of_newer_versions_survive_in_the_journal() {
    // SA-303
    // x509CAs[0] { slot_id "A", field 20 "new", not_after 7 } then top-level field 15 varint 5
    let stored = [&[0x0a, 11, 0x0a, 1, b'A', 0xa2, 1, 3, b'n', b'e', b'w', 0x38, 7][..], &[0x78, 5]].concat();
    let mut blob = JournalBlob::decode(&stored).unwrap();
    assert_eq!(blob.x509_cas[0].value.slot_id, "A");
    blob.x509_cas[0].value.status = 4;
    blob.x509_cas.push(X509caEntry { slot_id: "B".into(), ..Default::default() }.into());
    let again = JournalBlob::decode(&blob.encode()).unwrap();
    assert_eq!(again, blob);
    let bytes = blob.encode();
    assert!(bytes.windows(6).any(|w| w == [0xa2, 1, 3, b'n', b'e', b'w']));
    assert!(bytes.ends_with(&[0x78, 5]));
}
