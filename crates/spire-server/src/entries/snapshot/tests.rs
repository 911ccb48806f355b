use spire_types::Selector;

use super::super::affected::Affected;
use super::super::entry::tests::{entry, id};
use super::*;

fn agent(path: &str, selectors: &[&str]) -> AttestedAgent {
    AttestedAgent {
        spiffe_id: id(path).to_string(),
        attestation_type: "x".into(),
        serial_number: "1".into(),
        not_after: i64::MAX,
        new_serial_number: String::new(),
        new_not_after: 0,
        can_reattest: false,
        agent_version: String::new(),
        selectors: selectors.iter().map(|text| Selector::parse(text).unwrap()).collect(),
    }
}

fn snapshot() -> Snapshot {
    Snapshot::new(TrustDomain::parse("example.org").unwrap())
}

fn authorized(snapshot: &Snapshot, path: &str) -> Vec<String> {
    let mut ids: Vec<_> =
        snapshot.authorized(snapshot.keys.path(path)).iter().map(|entry| entry.id().to_owned()).collect();
    ids.sort();
    ids
}

fn affected(before: &Snapshot, after: &Snapshot, change: Option<Change>) -> Vec<&'static str> {
    let mut affected = Affected::default();
    if let Some(change) = &change {
        affected.add_change(change, before, after);
    }
    ["/spire/agent/a", "/spire/agent/b", "/spire/agent/c"]
        .into_iter()
        .filter(|path| affected.paths.contains(&after.keys.path(path)))
        .collect()
}

#[test]
fn authorized_set_is_everything_below_the_agent_and_its_aliases() {
    // SA-227, SA-228, SA-230, SA-232
    let mut s = snapshot();
    s.put_agent(agent("/spire/agent/a", &["x:1", "x:2", "x:3"]));
    s.put_agent(agent("/spire/agent/b", &["x:1"]));
    for (id, parent, path, selectors) in [
        ("own", "/spire/agent/a", "/w1", &["u:1"][..]),
        ("nested", "/w1", "/w2", &["u:1"]),
        ("loop", "/w2", "/w1", &["u:1"]),
        ("alias12", "/spire/server", "/alias", &["x:1", "x:2"]),
        ("via-alias", "/alias", "/w3", &["u:1"]),
        ("alias1", "/spire/server", "/wide", &["x:1"]),
        ("via-wide", "/wide", "/w4", &["u:1"]),
        ("other", "/spire/agent/c", "/w5", &["u:1"]),
    ] {
        s.put_entry(&entry(id, parent, path, selectors));
    }
    assert_eq!(authorized(&s, "/spire/agent/a"), ["loop", "nested", "own", "via-alias", "via-wide"]);
    assert_eq!(authorized(&s, "/spire/agent/b"), ["via-wide"]);
    // Not attested here, but parented directly.
    assert_eq!(authorized(&s, "/spire/agent/c"), ["other"]);
    assert_eq!(authorized(&s, "/spire/server").len(), 0);

    s.put_agent(agent("/spire/agent/b", &["x:2", "x:1"]));
    assert_eq!(authorized(&s, "/spire/agent/b"), ["via-alias", "via-wide"]);
    s.remove_agent(&id("/spire/agent/b").to_string());
    assert_eq!(authorized(&s, "/spire/agent/b").len(), 0);
    s.remove_entry("alias12");
    assert_eq!(authorized(&s, "/spire/agent/a"), ["loop", "nested", "own", "via-wide"]);
}

#[test]
fn entry_that_leaves_the_trust_domain_is_gone() {
    // SA-230, SA-249
    let mut s = snapshot();
    s.put_entry(&entry("e", "/spire/agent/a", "/w", &["u:1"]));
    let mut moved = entry("e", "/spire/agent/a", "/w", &["u:1"]);
    moved.parent_id = "spiffe://other.org/spire/agent/a".parse().unwrap();
    assert!(s.put_entry(&moved).is_some());
    assert_eq!((s.entry_count(), authorized(&s, "/spire/agent/a").len()), (0, 0));
}

#[test]
fn updates_replace_every_trace_of_the_old_version() {
    let mut s = snapshot();
    s.put_agent(agent("/spire/agent/a", &["x:1"]));
    let first = entry("e", "/spire/server", "/alias", &["x:1"]);
    s.put_entry(&first);
    s.put_entry(&entry("below", "/alias", "/w", &["u:1"]));
    assert_eq!(authorized(&s, "/spire/agent/a"), ["below"]);
    assert!(s.put_entry(&first).is_none(), "same content is no change");
    s.put_entry(&entry("e", "/spire/agent/a", "/direct", &["u:1"]));
    assert_eq!(authorized(&s, "/spire/agent/a"), ["e"]);
    assert_eq!(s.with_spiffe_id(s.keys.path("/alias")).count(), 0);
    assert_eq!(s.aliases.len(), 0);
    assert_eq!(s.by_parent.len(), 2);
    s.remove_entry("e");
    s.remove_entry("below");
    assert_eq!((s.by_id.len(), s.by_parent.len(), s.by_spiffe_id.len()), (0, 0, 0));
}

#[test]
fn a_change_affects_exactly_the_agents_that_see_it() {
    let mut s = snapshot();
    s.put_agent(agent("/spire/agent/a", &["x:1"]));
    s.put_agent(agent("/spire/agent/b", &["x:1", "x:2"]));
    s.put_agent(agent("/spire/agent/c", &["x:2"]));
    s.put_entry(&entry("alias", "/spire/server", "/alias", &["x:1"]));
    s.put_entry(&entry("mid", "/alias", "/mid", &["u:1"]));
    for (new, expected) in [
        (entry("direct", "/spire/agent/c", "/w", &["u:1"]), &["/spire/agent/c"][..]),
        (entry("deep", "/mid", "/deep", &["u:1"]), &["/spire/agent/a", "/spire/agent/b"]),
        (entry("nowhere", "/unknown", "/w", &["u:1"]), &[]),
        (entry("alias2", "/spire/server", "/alias2", &["x:2"]), &["/spire/agent/b", "/spire/agent/c"]),
        // Moved from one agent to another: both.
        (entry("direct", "/spire/agent/a", "/w", &["u:1"]), &["/spire/agent/a", "/spire/agent/c"]),
    ] {
        let before = s.clone();
        let change = s.put_entry(&new);
        assert_eq!(affected(&before, &s, change), expected, "{}", new.id);
    }
    let before = s.clone();
    let change = s.remove_entry("alias");
    assert_eq!(affected(&before, &s, change), ["/spire/agent/a", "/spire/agent/b"]);
}

#[test]
fn what_is_loaded_at_once_is_what_would_be_put_one_by_one() {
    // SA-230; "again" and "gone" are made anew by another process while everything is read.
    let foreign = spire_types::SpiffeId::from_path(TrustDomain::parse("other.org").unwrap(), "/w").unwrap();
    let mut left = entry("gone", "/spire/agent/a", "/w", &["u:1"]);
    left.spiffe_id = foreign;
    let entries = [
        entry("again", "/spire/agent/b", "/w", &["u:1"]),
        entry("gone", "/spire/agent/a", "/w", &["u:1"]),
        entry("below", "/w", "/below", &["u:2"]),
        entry("alias", "/spire/server", "/group", &["x:1"]),
        entry("of-alias", "/group", "/grouped", &["u:3"]),
        entry("again", "/spire/agent/a", "/w", &["u:1"]),
        left,
    ];
    let (mut one_by_one, empty) = (snapshot(), snapshot());
    let mut loaded = Loaded::new(&empty);
    for entry in &entries {
        one_by_one.put_entry(entry);
        loaded.add(entry);
    }
    let mut at_once = empty.with_entries(loaded);
    for s in [&mut one_by_one, &mut at_once] {
        s.put_agent(agent("/spire/agent/a", &["x:1"]));
        s.put_agent(agent("/spire/agent/b", &[]));
        assert_eq!(authorized(s, "/spire/agent/a"), ["again", "below", "of-alias"]);
        assert!(authorized(s, "/spire/agent/b").is_empty());
        assert_eq!((s.entry_count(), s.entry("gone").is_none()), (4, true));
        s.put_entry(&entry("new", "/spire/agent/b", "/n", &["u:1"]));
        assert_eq!(authorized(s, "/spire/agent/b"), ["new"]);
    }
}
