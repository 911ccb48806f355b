use spire_crypto::x509::{Certificate, CertificateTemplate, Issuer, Subject, Usage, sign_certificate};
use spire_crypto::{KeyType, PrivateKey};
use spire_datastore::Code;
use time::OffsetDateTime;

use crate::support::{Fixture, NOW, bundle, jwt, root, td};

/// A root that is valid until `not_after`, and its subject key id.
async fn certificate(not_after: i64) -> (Vec<u8>, String) {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let subject = Subject { common_name: "root".into(), ..Default::default() };
    let name = subject.to_name().unwrap();
    let template = CertificateTemplate {
        serial: [1; 16],
        subject: name.clone(),
        not_before: at(NOW - 1000),
        not_after: at(not_after),
        uri_san: "spiffe://example.org".into(),
        dns_sans: Vec::new(),
        usage: Usage::Ca,
        extra_extensions: Vec::new(),
    };
    let issuer = Issuer { name, key_id: None };
    let der = sign_certificate(&template, key.public_key(), &issuer, &key).await.unwrap();
    let id = Certificate::parse(&der).unwrap().subject_key_id_hex().unwrap();
    (der, id)
}

fn text(error: spire_datastore::DatastoreError) -> (Code, String) {
    (error.code(), error.to_string())
}

#[tokio::test]
async fn root_must_be_tainted_before_it_is_revoked() {
    // SA-331, SA-332, CA-076, CA-077
    let f = Fixture::new().await;
    let own = td("example.org");
    let (one, one_id) = certificate(NOW + 100).await;
    let (two, _) = certificate(NOW + 100).await;
    let missing = f.store.taint_x509_authority(&own, &one_id).await.unwrap_err();
    assert_eq!(text(missing), (Code::NotFound, "datastore-sql: record not found".into()));
    let mut stored = bundle("example.org");
    stored.x509_authorities = vec![root(&one), root(&two)];
    f.store.create_bundle(&stored).await.unwrap();

    assert_eq!(
        text(f.store.taint_x509_authority(&own, "00").await.unwrap_err()),
        (Code::NotFound, "no ca found with provided subject key ID".into())
    );
    assert_eq!(
        text(f.store.revoke_x509_authority(&own, &one_id).await.unwrap_err()),
        (Code::InvalidArgument, "it is not possible to revoke an untainted root CA".into())
    );
    f.store.taint_x509_authority(&own, &one_id).await.unwrap();
    assert_eq!(
        text(f.store.taint_x509_authority(&own, &one_id).await.unwrap_err()),
        (Code::InvalidArgument, "root CA is already tainted".into())
    );
    let tainted = f.store.fetch_bundle(&own).await.unwrap().unwrap();
    assert_eq!(tainted.x509_authorities.iter().map(|root| root.tainted).collect::<Vec<_>>(), [true, false]);
    f.store.revoke_x509_authority(&own, &one_id).await.unwrap();
    assert_eq!(
        text(f.store.revoke_x509_authority(&own, &one_id).await.unwrap_err()),
        (Code::NotFound, "no root CA found with provided subject key ID".into())
    );
    let left = f.store.fetch_bundle(&own).await.unwrap().unwrap();
    assert_eq!((left.x509_authorities, left.sequence_number), (vec![root(&two)], 2));
}

#[tokio::test]
async fn pruning_never_removes_the_last_root_and_one_kind_does_not_hold_up_another() {
    // SA-330, CA-079, CA-544, CA-559
    let f = Fixture::new().await;
    let own = td("example.org");
    assert!(!f.store.prune_bundle(&own, NOW).await.unwrap());
    let (old, _) = certificate(NOW - 10).await;
    let (new, _) = certificate(NOW + 10).await;
    let mut stored = bundle("example.org");
    stored.x509_authorities = vec![root(&old)];
    stored.refresh_hint = 60;
    f.store.create_bundle(&stored).await.unwrap();
    let error = f.store.prune_bundle(&own, NOW).await.unwrap_err();
    assert_eq!(error.to_string(), "prune failed: would prune all certificates");

    stored.x509_authorities.push(root(&new));
    stored.jwt_authorities = vec![jwt("old", NOW - 10)];
    f.store.set_bundle(&stored).await.unwrap();
    assert!(f.store.prune_bundle(&own, NOW).await.unwrap());
    let left = f.store.fetch_bundle(&own).await.unwrap().unwrap();
    assert_eq!(left.x509_authorities, [root(&new)]);
    assert_eq!((left.jwt_authorities.len(), left.sequence_number, left.refresh_hint), (1, 1, 60));
    let error = f.store.prune_bundle(&own, NOW).await.unwrap_err();
    assert_eq!(error.to_string(), "prune failed: would prune all JWT signing keys");

    stored.x509_authorities.remove(0);
    stored.jwt_authorities.push(jwt("forever", 0));
    f.store.set_bundle(&stored).await.unwrap();
    assert!(f.store.prune_bundle(&own, NOW).await.unwrap());
    let left = f.store.fetch_bundle(&own).await.unwrap().unwrap();
    assert_eq!(left.jwt_authorities, [jwt("forever", 0)]);
    assert!(!f.store.prune_bundle(&own, NOW).await.unwrap());
}
