use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use spire_crypto::x509::Roots;
use spire_proto::workload::X509svidResponse;
use spire_runtime::{FixedRandom, ManualClock};
use spire_types::{Bundle, Selector, TrustDomain, X509Authority};

use super::*;
use crate::identity::RotationPolicy;
use crate::testing::{NOW, TestCa};

struct Fixture {
    ca: TestCa,
    clock: ManualClock,
    cache: Arc<Cache>,
    policy: RotationPolicy,
}

fn bundle(trust_domain: &str, ca: &TestCa) -> Bundle {
    let trust_domain = TrustDomain::from_name(trust_domain).unwrap();
    let authority = X509Authority { der: ca.certificate.der().clone(), tainted: false };
    Bundle { x509_authorities: vec![authority], ..Bundle::empty(trust_domain) }
}

fn selectors(all: &[&str]) -> Vec<Selector> {
    all.iter().map(|text| Selector::parse(text).unwrap()).collect()
}

fn entry(id: &str, selected: &[&str]) -> AgentEntry {
    let mut selectors = selectors(selected);
    selectors.sort();
    AgentEntry {
        id: id.into(),
        spiffe_id: format!("spiffe://example.org/{id}").parse().unwrap(),
        selectors: selectors.into(),
        federates_with: Vec::new(),
        revision: 0,
        created_at: 0,
        hint: String::new(),
        store_svid: false,
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
    }
}

impl Fixture {
    async fn new(max_size: usize) -> Self {
        let ca = TestCa::new("example.org").await;
        let clock = ManualClock::at_unix(NOW);
        let bundles = Arc::new(BundleSet::new(bundle("example.org", &ca)).unwrap());
        let cache = Cache::new(bundles, max_size, clock.shared());
        let policy = RotationPolicy::new(None, Arc::new(FixedRandom(0.5)));
        Self { ca, clock, cache, policy }
    }

    fn sync(&self, changed: Vec<AgentEntry>, removed: &[&str]) {
        let removed = removed.iter().map(|id| Arc::from(*id)).collect();
        self.cache
            .update(&EntryUpdate { changed: changed.into_iter().map(Arc::new).collect(), removed }, &[]);
    }

    /// Signs what is wanted; the ids of the entries, in the order of the wish.
    async fn sign(&self) -> Vec<String> {
        let wanted = self.cache.stale(100);
        let ids = wanted.iter().map(|wanted| wanted.entry.id.to_string()).collect();
        for wanted in wanted {
            let (chain, key) = self.ca.issue(&wanted.entry.spiffe_id.to_string(), 1000).await;
            self.cache.put(vec![WorkloadSvid::new(wanted.entry, chain, &key, &self.policy).unwrap()]);
        }
        ids
    }
}

fn ids(view: &View) -> Vec<String> {
    let response = X509svidResponse::decode(view.x509_svids().slice(response::PREFIX_LEN..)).unwrap();
    response.svids.into_iter().map(|svid| svid.spiffe_id).collect()
}

#[tokio::test]
async fn a_caller_gets_the_entries_all_of_whose_selectors_it_has() {
    // AG-342
    let fixture = Fixture::new(10).await;
    fixture.sync(
        vec![
            entry("b", &["unix:uid:1", "unix:gid:1"]),
            entry("a", &["unix:uid:1"]),
            entry("c", &["unix:uid:1", "unix:gid:2"]),
        ],
        &[],
    );
    assert_eq!(fixture.sign().await, ["a", "b", "c"]);
    let view = fixture.cache.view(selectors(&["unix:uid:1", "unix:gid:1", "unix:uid:1"]));
    assert_eq!(ids(&view), ["spiffe://example.org/a", "spiffe://example.org/b"]);
    assert!(view.is_settled());
    let nobody = fixture.cache.view(selectors(&["unix:uid:2"]));
    assert!(!nobody.has_identity() && nobody.is_settled());
    assert!(!fixture.cache.view(Vec::new()).has_identity());
}

#[tokio::test]
async fn a_new_caller_waits_until_all_its_svids_are_there() {
    // AG-345
    let fixture = Fixture::new(10).await;
    fixture.sync(vec![entry("a", &["unix:uid:1"])], &[]);
    let mut subscription = fixture.cache.subscribe(selectors(&["unix:uid:1"]));
    assert!(!subscription.current().is_settled());
    fixture.cache.wanted().nudged().await;
    fixture.sign().await;
    assert_eq!(ids(&*subscription.settled().await), ["spiffe://example.org/a"]);
}

#[tokio::test]
async fn a_refused_entry_does_not_hold_up_the_others() {
    // AG-584: one bad entry must not hang every stream of the workload.
    let fixture = Fixture::new(10).await;
    fixture.sync(vec![entry("a", &["unix:uid:1"]), entry("b", &["unix:uid:1"])], &[]);
    let subscription = fixture.cache.subscribe(selectors(&["unix:uid:1"]));
    fixture.cache.refused(&["a".into()]);
    assert!(!subscription.current().is_settled());
    assert_eq!(fixture.sign().await, ["b"], "the refused one is not tried at once");
    assert!(subscription.current().is_settled());
    fixture.clock.advance(Duration::from_millis(500));
    assert_eq!(fixture.sign().await, ["a"]);
}

#[tokio::test]
async fn streams_see_additions_changes_and_removals() {
    // AG-346, AG-356
    let fixture = Fixture::new(10).await;
    fixture.sync(vec![entry("a", &["unix:uid:1"])], &[]);
    fixture.sign().await;
    let mut subscription = fixture.cache.subscribe(selectors(&["unix:uid:1", "unix:gid:1"]));
    fixture.sync(vec![entry("b", &["unix:gid:1"])], &[]);
    fixture.sign().await;
    assert_eq!(ids(&*subscription.changed().await).len(), 2);
    fixture.sync(vec![AgentEntry { revision: 1, ..entry("b", &["unix:gid:2"]) }], &[]);
    assert_eq!(ids(&*subscription.changed().await), ["spiffe://example.org/a"]);
    fixture.sync(Vec::new(), &["a"]);
    assert!(!subscription.changed().await.has_identity());
    assert_eq!(fixture.cache.svid_count(), 1);
}

#[tokio::test]
async fn an_id_and_a_certificate_that_do_not_fit_are_never_shown_together() {
    // AG-346: the workload would present another identity than it believes to have.
    let fixture = Fixture::new(10).await;
    fixture.sync(vec![entry("a", &["unix:uid:1"])], &[]);
    fixture.sign().await;
    let subscription = fixture.cache.subscribe(selectors(&["unix:uid:1"]));
    let renamed = AgentEntry {
        spiffe_id: "spiffe://example.org/new".parse().unwrap(),
        revision: 1,
        ..entry("a", &["unix:uid:1"])
    };
    fixture.sync(vec![renamed], &[]);
    assert_eq!(ids(&subscription.current()), ["spiffe://example.org/a"]);
    assert!(!subscription.current().is_settled(), "new callers wait for the new one");
    assert_eq!(fixture.sign().await, ["a"]);
    assert_eq!(ids(&subscription.current()), ["spiffe://example.org/new"]);
}

#[tokio::test]
async fn svids_are_renewed_when_due_outdated_or_tainted_and_served_until_then() {
    // AG-350, AG-410: a stream must not lose its identity because a new one is on its way.
    let fixture = Fixture::new(10).await;
    fixture.sync(vec![entry("a", &["unix:uid:1"])], &[]);
    fixture.sign().await;
    assert!(fixture.sign().await.is_empty());
    fixture.sync(vec![AgentEntry { revision: 1, ..entry("a", &["unix:uid:1"]) }], &[]);
    assert_eq!(fixture.sign().await, ["a"]);
    fixture.cache.taint(&Roots::new(vec![fixture.ca.certificate.clone()]).unwrap());
    assert!(fixture.cache.view(selectors(&["unix:uid:1"])).has_identity());
    assert_eq!(fixture.sign().await, ["a"]);
    fixture.clock.advance(Duration::from_secs(499));
    assert!(fixture.sign().await.is_empty());
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.sign().await, ["a"]);
    fixture.clock.advance(Duration::from_secs(5000));
    assert!(fixture.cache.view(selectors(&["unix:uid:1"])).has_identity(), "served past its expiry");
}

#[tokio::test]
async fn the_limit_binds_only_svids_that_nobody_watches() {
    // AG-347, AG-349
    let fixture = Fixture::new(1).await;
    let mut lazy = entry("a", &["unix:uid:1"]);
    lazy.disable_x509_svid_prefetch = true;
    fixture.sync(vec![lazy, entry("b", &["unix:uid:2"]), entry("c", &["unix:uid:3"])], &[]);
    assert_eq!(fixture.sign().await, ["b"], "a is not fetched early, and c has no room");
    fixture.clock.advance(Duration::from_secs(1));
    let first = fixture.cache.subscribe(selectors(&["unix:uid:1"]));
    let third = fixture.cache.subscribe(selectors(&["unix:uid:3"]));
    assert_eq!(fixture.sign().await, ["a", "c"]);
    assert_eq!(fixture.cache.svid_count(), 3);
    fixture.sync(Vec::new(), &[]);
    assert_eq!(fixture.cache.svid_count(), 2, "b goes, the watched ones stay");
    drop(first);
    fixture.clock.advance(Duration::from_secs(1));
    drop(fixture.cache.subscribe(selectors(&["unix:uid:1"])));
    drop(third);
    fixture.sync(Vec::new(), &[]);
    assert!(fixture.cache.view(selectors(&["unix:uid:1"])).has_identity(), "the longest unused one goes");
    assert_eq!(fixture.cache.svid_count(), 1);
}

#[tokio::test]
async fn bundles_of_federated_domains_reach_those_who_federate() {
    // AG-344, AG-320, AG-322
    let fixture = Fixture::new(10).await;
    let other = TestCa::new("other.org").await;
    let federated = AgentEntry {
        federates_with: vec![TrustDomain::from_name("other.org").unwrap()],
        ..entry("a", &["unix:uid:1"])
    };
    fixture.sync(vec![federated, entry("b", &["unix:uid:2"])], &[]);
    fixture.sign().await;
    let mut with = fixture.cache.subscribe(selectors(&["unix:uid:1"]));
    let without = fixture.cache.subscribe(selectors(&["unix:uid:2"]));
    let changed = fixture.cache.bundles.update(vec![bundle("other.org", &other)]).unwrap();
    assert_eq!(changed, [TrustDomain::from_name("other.org").unwrap()]);
    fixture.cache.update(&EntryUpdate::default(), &changed);
    assert_eq!(with.changed().await.bundles().count(), 2);
    assert_eq!(without.current().bundles().count(), 1);
    let changed = fixture.cache.bundles.update(Vec::new()).unwrap();
    fixture.cache.update(&EntryUpdate::default(), &changed);
    assert_eq!(with.changed().await.bundles().count(), 1, "the own bundle never goes");
}

#[tokio::test]
async fn the_oldest_entry_keeps_a_hint() {
    // AG-481
    let fixture = Fixture::new(10).await;
    let hinted =
        |id: &str, created_at| AgentEntry { hint: "h".to_owned(), created_at, ..entry(id, &["unix:uid:1"]) };
    fixture.sync(vec![hinted("a", 3), hinted("b", 1), hinted("c", 2), entry("d", &["unix:uid:1"])], &[]);
    fixture.sign().await;
    let view = fixture.cache.view(selectors(&["unix:uid:1"]));
    assert_eq!(ids(&view), ["spiffe://example.org/b", "spiffe://example.org/d"]);
    let tokens: Vec<&str> = view.entries().iter().map(|entry| &*entry.id).collect();
    assert_eq!(tokens, ["b", "d"]);
}

#[tokio::test]
async fn an_entry_that_changes_while_it_is_signed_is_signed_again() {
    let fixture = Fixture::new(10).await;
    fixture.sync(vec![entry("a", &["unix:uid:1"])], &[]);
    let wanted = fixture.cache.stale(1).remove(0);
    fixture.sync(vec![AgentEntry { revision: 1, ..entry("a", &["unix:uid:1"]) }], &[]);
    let (chain, key) = fixture.ca.issue("spiffe://example.org/a", 1000).await;
    fixture.cache.put(vec![WorkloadSvid::new(wanted.entry, chain, &key, &fixture.policy).unwrap()]);
    assert_eq!(fixture.sign().await, ["a"]);
}
