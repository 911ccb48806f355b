use std::time::Duration;

use spire_datastore::{AttestationOutcome, Change, Code, EventRange, ListAgents};
use spire_types::{AgentMask, AttestedAgent, MatchBehavior, Page};
use time::OffsetDateTime;

use crate::support::{Fixture, NOW, agent, entry, id, selectors};

const EVENTS: &str = "SELECT spiffe_id FROM attested_node_entries_events ORDER BY id";

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

async fn attested(f: &Fixture, agent: &AttestedAgent, own: &[&str]) {
    let agent = AttestedAgent { selectors: selectors(own), ..agent.clone() };
    assert_eq!(f.store.record_attestation(agent).await.unwrap(), AttestationOutcome::Stored);
}

async fn names(f: &Fixture, request: &ListAgents) -> Vec<String> {
    let (agents, _) = f.store.list_agents(request).await.unwrap();
    assert_eq!(f.store.count_agents(request).await.unwrap(), agents.len() as u64);
    agents.iter().map(|agent| agent.spiffe_id.rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn agent_is_attested_fetched_updated_and_deleted_with_events() {
    // SA-336..338, SA-368
    let f = Fixture::new().await;
    let mut changes = f.store.changes();
    let one = agent("/spire/agent/x509pop/one");
    attested(&f, &one, &[]).await;
    assert_eq!(f.store.fetch_agent(&one.spiffe_id).await.unwrap().as_ref(), Some(&one));
    assert_eq!(
        f.rows(
            "SELECT expires_at, new_serial_number, new_expires_at, can_reattest FROM attested_node_entries"
        )
        .await,
        ["2026-11-24 13:11:53+00:00||NULL|1"]
    );

    let mut renewed = one.clone();
    (renewed.new_serial_number, renewed.new_not_after) = ("18".into(), NOW + 7200);
    let mask = AgentMask { new_serial_number: true, new_not_after: true, ..Default::default() };
    assert_eq!(f.store.update_agent(&one.spiffe_id, &renewed, &mask).await.unwrap(), renewed);
    assert_eq!(f.store.fetch_agent(&one.spiffe_id).await.unwrap().unwrap(), renewed);
    let missing = f.store.update_agent("spiffe://example.org/nope", &renewed, &mask).await.unwrap_err();
    assert_eq!(missing.to_string(), "datastore-sql: record not found");

    attested(&f, &renewed, &["b:2", "a:1"]).await;
    assert_eq!(f.store.agent_selectors(&one.spiffe_id).await.unwrap(), selectors(&["a:1", "b:2"]));
    attested(&f, &renewed, &["c:3"]).await;
    assert_eq!(f.store.agent_selectors(&one.spiffe_id).await.unwrap(), selectors(&["c:3"]));
    assert_eq!(f.store.delete_agent(&one.spiffe_id).await.unwrap(), renewed);
    assert!(f.store.agent_selectors(&one.spiffe_id).await.unwrap().is_empty());
    assert!(f.store.delete_agent(&one.spiffe_id).await.unwrap_err().is_not_found());
    assert_eq!(f.rows(EVENTS).await.len(), 5);
    for _ in 0..5 {
        let batch = changes.next().await.unwrap().unwrap();
        assert_eq!(batch[..], [Change::Agent(one.spiffe_id.as_str().into())]);
    }
    assert!(changes.try_next().is_none());
}

#[tokio::test]
async fn filters_select_agents() {
    // SA-343
    let f = Fixture::new().await;
    for (name, serial, not_after, reattest, kind, own) in [
        ("a", "1", NOW - 10, true, "x509pop", &["s:1"][..]),
        ("b", "", NOW + 10, true, "join_token", &["s:1", "s:2"]),
        ("c", "3", NOW + 20, false, "join_token", &["s:3", "s:2"]),
        ("d", "4", NOW + 30, true, "x509pop", &[]),
    ] {
        let mut agent = agent(&format!("/spire/agent/{name}"));
        (agent.serial_number, agent.not_after, agent.can_reattest, agent.attestation_type) =
            (serial.into(), not_after, reattest, kind.into());
        attested(&f, &agent, own).await;
    }
    let base = ListAgents::default;
    let by =
        |behavior, texts: &[&str]| ListAgents { by_selectors: Some((selectors(texts), behavior)), ..base() };
    for (request, expected) in [
        (base(), &["a", "b", "c", "d"][..]),
        (ListAgents { by_expires_before: Some(at(NOW + 10)), ..base() }, &["a"]),
        (ListAgents { valid_at: Some(at(NOW + 10)), ..base() }, &["b", "c", "d"]),
        (ListAgents { by_attestation_type: Some("join_token".into()), ..base() }, &["b", "c"]),
        (ListAgents { by_banned: Some(true), ..base() }, &["b"]),
        (ListAgents { by_banned: Some(false), ..base() }, &["a", "c", "d"]),
        (ListAgents { by_can_reattest: Some(false), ..base() }, &["c"]),
        (by(MatchBehavior::Exact, &["s:2", "s:1"]), &["b"]),
        (by(MatchBehavior::Subset, &["s:2", "s:1"]), &["a", "b"]),
        (by(MatchBehavior::Superset, &["s:2"]), &["b", "c"]),
        (by(MatchBehavior::Any, &["s:1", "s:3"]), &["a", "b", "c"]),
    ] {
        assert_eq!(names(&f, &request).await, expected, "{request:?}");
    }
    let error = f.store.list_agents(&by(MatchBehavior::Any, &[])).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot list by empty selectors set");

    let request =
        ListAgents { fetch_selectors: true, page: Some(Page { size: 3, token: String::new() }), ..base() };
    let (agents, token) = f.store.list_agents(&request).await.unwrap();
    assert_eq!((agents.len(), token.as_str()), (3, "3"));
    assert_eq!(agents[1].selectors, selectors(&["s:1", "s:2"]));

    // SQLite refuses expressions that are a thousand deep.
    let many: Vec<String> = (1..1100).map(|n| format!("s:{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (behavior, expected) in [
        (MatchBehavior::Exact, &[][..]),
        (MatchBehavior::Superset, &[]),
        (MatchBehavior::Subset, &["a", "b", "c"]),
        (MatchBehavior::Any, &["a", "b", "c"]),
    ] {
        assert_eq!(names(&f, &by(behavior, &many)).await, expected, "{behavior:?}");
    }

    let known = f.store.list_agent_selectors(Some(at(NOW))).await.unwrap();
    let known: Vec<_> = known.iter().map(|(id, own)| (id.rsplit('/').next().unwrap(), own.len())).collect();
    assert_eq!(known, [("b", 2), ("c", 2)]);
    assert_eq!(f.store.list_agent_selectors(None).await.unwrap().len(), 3);
}

#[tokio::test]
async fn listed_selectors_come_sorted() {
    // Scripts compare what `agent list` prints; rows keep the order in which they were written.
    let f = Fixture::new().await;
    attested(&f, &agent("/spire/agent/a"), &[]).await;
    f.sql(
        "INSERT INTO node_resolver_map_entries (spiffe_id, type, value) VALUES \
         ('spiffe://example.org/spire/agent/a', 'b', '1'), ('spiffe://example.org/spire/agent/a', 'a', '2'), \
         ('spiffe://example.org/spire/agent/a', 'a', '1')",
    )
    .await;
    let request = ListAgents { fetch_selectors: true, ..Default::default() };
    let (agents, _) = f.store.list_agents(&request).await.unwrap();
    assert_eq!(agents[0].selectors, selectors(&["a:1", "a:2", "b:1"]));
}

#[tokio::test]
async fn only_the_alias_of_a_join_token_goes_with_its_agent() {
    // SA-339
    let f = Fixture::new().await;
    let mut token_agent = agent("/spire/agent/join_token/t");
    token_agent.attestation_type = "join_token".into();
    attested(&f, &token_agent, &[]).await;
    let own = token_agent.spiffe_id.clone();
    let alias_selector = format!("spiffe_id:{own}");
    for (path, texts) in [
        ("/alias", &[alias_selector.as_str()][..]),
        ("/more", &[alias_selector.as_str(), "a:1"]),
        ("/work", &["unix:uid:1"]),
    ] {
        let mut entry = entry(path, texts);
        entry.parent_id = id("/spire/agent/join_token/t");
        f.store.create_entry(&entry).await.unwrap();
    }
    f.store.delete_agent(&own).await.unwrap();
    assert_eq!(
        f.rows("SELECT spiffe_id FROM registered_entries ORDER BY id").await,
        ["spiffe://example.org/more", "spiffe://example.org/work"]
    );
    assert_eq!(f.rows("SELECT count(*) FROM registered_entries_events").await, ["4"]);
}

#[tokio::test]
async fn pruning_skips_banned_agents_and_those_that_cannot_come_back() {
    // SA-340
    let f = Fixture::new().await;
    for (name, serial, not_after, reattest) in [
        ("old1", "1", NOW - 10, true),
        ("old2", "1", NOW - 10, true),
        ("banned", "", NOW - 10, true),
        ("tofu", "1", NOW - 10, false),
        ("alive", "1", NOW + 10, true),
    ] {
        let mut agent = agent(&format!("/spire/agent/{name}"));
        (agent.serial_number, agent.not_after, agent.can_reattest) = (serial.into(), not_after, reattest);
        attested(&f, &agent, &[]).await;
    }
    assert_eq!(f.store.prune_agents(at(NOW), false, 1).await.unwrap().agents, 1);
    assert_eq!(f.store.prune_agents(at(NOW), false, 0).await.unwrap().agents, 1);
    assert_eq!(names(&f, &Default::default()).await, ["banned", "tofu", "alive"]);
    assert_eq!(f.store.prune_agents(at(NOW), true, 0).await.unwrap().agents, 1);
    assert_eq!(names(&f, &Default::default()).await, ["banned", "alive"]);
    assert_eq!(f.rows(EVENTS).await.len(), 8);
}

#[tokio::test]
async fn events_are_listed_by_id_and_pruned_by_age() {
    // SA-369, SA-370, SA-247
    let f = Fixture::new().await;
    for name in ["a", "b", "c"] {
        attested(&f, &agent(&format!("/spire/agent/{name}")), &[]).await;
        f.store.create_entry(&entry(&format!("/{name}"), &["a:1"])).await.unwrap();
        f.clock.advance(Duration::from_secs(10));
    }
    let ids =
        |events: Vec<spire_datastore::AgentEvent>| events.iter().map(|e| e.event_id).collect::<Vec<_>>();
    assert_eq!(ids(f.store.list_agent_events(EventRange::All).await.unwrap()), [1, 2, 3]);
    assert_eq!(ids(f.store.list_agent_events(EventRange::After(1)).await.unwrap()), [2, 3]);
    assert_eq!(ids(f.store.list_agent_events(EventRange::Before(2)).await.unwrap()), [1]);
    assert_eq!(ids(f.store.fetch_agent_events(&[9, 3, 1]).await.unwrap()), [1, 3]);
    assert_eq!(f.store.event_bounds().await.unwrap(), [(1, 3), (1, 3)]);
    assert_eq!(f.store.prune_entry_events(Duration::from_secs(20)).await.unwrap(), 1);
    assert_eq!(f.store.prune_agent_events(Duration::from_secs(15)).await.unwrap(), 2);
    assert_eq!(f.store.event_bounds().await.unwrap(), [(2, 3), (3, 3)]);
    assert_eq!(f.store.list_entry_events(EventRange::All).await.unwrap().len(), 2);
}

#[tokio::test]
async fn join_token_can_be_taken_once() {
    // SA-344
    let f = Fixture::new().await;
    let token = spire_types::JoinToken { token: "t".into(), expires_at: NOW };
    f.store.create_join_token(&token).await.unwrap();
    let error = f.store.create_join_token(&token).await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (Code::AlreadyExists, "datastore-sql: UNIQUE constraint failed: join_tokens.token")
    );
    let (one, two) = tokio::join!(f.store.take_join_token("t"), f.store.take_join_token("t"));
    let taken: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(taken, [token]);
    let empty = spire_types::JoinToken { token: String::new(), expires_at: NOW };
    assert_eq!(
        f.store.create_join_token(&empty).await.unwrap_err().to_string(),
        "token and expiry are required"
    );
}

#[tokio::test]
async fn attestations_at_the_same_time_share_a_transaction_and_a_ban_stays() {
    // SA-044, SA-051, SA-055, SA-056
    let f = Fixture::new().await;
    let mut banned = agent("/spire/agent/x509pop/banned");
    banned.serial_number = String::new();
    attested(&f, &banned, &[]).await;
    let mut known = agent("/spire/agent/x509pop/known");
    known.agent_version = "1.2".into();
    attested(&f, &known, &["old:1", "old:2"]).await;
    let mut changes = f.store.changes();

    let attest = |path: &str, serial: &str, own: &[&str]| {
        let mut agent = agent(path);
        (agent.serial_number, agent.selectors) = (serial.into(), selectors(own));
        f.store.record_attestation(agent)
    };
    let (new, known, refused) = tokio::join!(
        attest("/spire/agent/x509pop/new", "7", &["b:2", "a:1", "b:2"]),
        attest("/spire/agent/x509pop/known", "8", &["c:3"]),
        attest("/spire/agent/x509pop/banned", "9", &["d:4"]),
    );
    assert_eq!(new.unwrap(), AttestationOutcome::Stored);
    assert_eq!(known.unwrap(), AttestationOutcome::Stored);
    assert_eq!(refused.unwrap(), AttestationOutcome::Banned);
    assert_eq!(changes.next().await.unwrap().unwrap().len(), 2);
    assert!(changes.try_next().is_none(), "one commit for all of them");

    let ids = ["banned", "known", "new"].map(|name| id(&format!("/spire/agent/x509pop/{name}")).to_string());
    let nobody = id("/spire/agent/x509pop/nobody").to_string();
    let stored = f.store.fetch_agents(&[&ids[..], &[nobody]].concat()).await.unwrap();
    let told: Vec<_> = stored
        .iter()
        .map(|agent| (agent.serial_number.as_str(), agent.agent_version.as_str(), agent.selectors.clone()))
        .collect();
    assert_eq!(
        told,
        [
            ("", "1.15.3", Vec::new()),
            ("8", "1.2", selectors(&["c:3"])),
            ("7", "1.15.3", selectors(&["a:1", "b:2"]))
        ]
    );
}
