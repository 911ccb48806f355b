use spire_datastore::Code;
use spire_types::{EndpointProfile, FederationMask, FederationRelationship, Page};

use crate::support::{Fixture, bundle, root, td};

fn relationship(name: &str) -> FederationRelationship {
    FederationRelationship {
        trust_domain: td(name),
        bundle_endpoint_url: format!("https://{name}/bundle"),
        profile: EndpointProfile::HttpsSpiffe {
            endpoint_spiffe_id: format!("spiffe://{name}/ep").parse().unwrap(),
        },
        bundle: None,
    }
}

#[tokio::test]
async fn relationship_comes_with_its_bundle() {
    // SA-361, SA-362
    let f = Fixture::new().await;
    let mut wanted = relationship("other.org");
    f.store.create_federation_relationship(&wanted).await.unwrap();
    assert_eq!(f.store.fetch_federation_relationship(&td("other.org")).await.unwrap().unwrap(), wanted);
    let mut with_bundle = relationship("third.org");
    with_bundle.bundle = Some(bundle("third.org"));
    f.store.create_federation_relationship(&with_bundle).await.unwrap();
    let (all, token) = f.store.list_federation_relationships(None).await.unwrap();
    assert_eq!((all, token.as_str()), (vec![wanted.clone(), with_bundle], ""));
    let page = Page { size: 1, token: String::new() };
    let (one, token) = f.store.list_federation_relationships(Some(&page)).await.unwrap();
    assert_eq!((one.len(), token.as_str()), (1, "1"));

    // A duplicate rolls the bundle back (SA-361).
    wanted.bundle = Some(bundle("other.org"));
    assert_eq!(
        f.store.create_federation_relationship(&wanted).await.unwrap_err().code(),
        Code::AlreadyExists
    );
    assert_eq!(f.store.fetch_bundle(&td("other.org")).await.unwrap(), None);
    assert_eq!(f.rows("SELECT trust_domain FROM federated_trust_domains").await, ["other.org", "third.org"]);
}

#[tokio::test]
async fn update_keeps_the_endpoint_id_when_switching_to_web() {
    // SA-117
    let f = Fixture::new().await;
    let mut wanted = relationship("other.org");
    let error = f.store.update_federation_relationship(&wanted, &FederationMask::ALL).await.unwrap_err();
    assert_eq!(error.to_string(), "unable to fetch federation relationship: record not found");
    f.store.create_federation_relationship(&wanted).await.unwrap();
    let mut new = bundle("other.org");
    new.x509_authorities.push(root(b"der"));
    (wanted.profile, wanted.bundle) = (EndpointProfile::HttpsWeb, Some(new));
    assert_eq!(f.store.update_federation_relationship(&wanted, &FederationMask::ALL).await.unwrap(), wanted);
    assert_eq!(
        f.rows("SELECT bundle_endpoint_profile, endpoint_spiffe_id FROM federated_trust_domains").await,
        ["https_web|spiffe://other.org/ep"]
    );
    f.store.delete_federation_relationship(&td("other.org")).await.unwrap();
    assert!(f.store.delete_federation_relationship(&td("other.org")).await.unwrap_err().is_not_found());
    assert!(f.store.fetch_bundle(&td("other.org")).await.unwrap().is_some());
}

#[tokio::test]
async fn unknown_profile_fails_the_whole_list() {
    // SA-362
    let f = Fixture::new().await;
    f.store.create_federation_relationship(&relationship("other.org")).await.unwrap();
    f.sql("UPDATE federated_trust_domains SET bundle_endpoint_profile = 'x'").await;
    let error = f.store.list_federation_relationships(None).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown bundle endpoint profile type: \"x\"");
}
