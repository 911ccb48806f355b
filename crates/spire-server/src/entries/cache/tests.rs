use spire_datastore::DatastoreSettings;
use spire_runtime::ManualClock;
use spire_types::{AttestedAgent, EntryMask, Selector};

use super::super::doorbell::Ring;
use super::super::entry::tests::{entry, id};
use super::*;

const NOW: i64 = 1_795_522_313;

struct Server {
    store: Datastore,
    cache: Arc<EntryCache>,
    clock: ManualClock,
    shutdown: Shutdown,
    path: String,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.sqlite3").display().to_string();
        let clock = ManualClock::at_unix(NOW);
        let store = Datastore::open(DatastoreSettings::sqlite(path.clone()), clock.shared()).await.unwrap();
        store.record_attestation(agent("/spire/agent/a", NOW + 100)).await.unwrap();
        store.create_entry(&entry("first", "/spire/agent/a", "/w", &["u:1"])).await.unwrap();
        let settings = EntryCacheSettings::new(TrustDomain::parse("example.org").unwrap());
        let (cache, task) = EntryCache::build(store.clone(), clock.shared(), settings).await.unwrap();
        let shutdown = Shutdown::new();
        tokio::spawn(task.run(shutdown.clone()));
        Self { store, cache, clock, shutdown, path, _dir: dir }
    }

    /// Another server on the same database; ours hears nothing of what it does.
    async fn other(&self) -> Datastore {
        Datastore::open(DatastoreSettings::sqlite(self.path.clone()), self.clock.shared()).await.unwrap()
    }

    fn ids(&self, agent: &str) -> Vec<String> {
        let mut ids: Vec<_> =
            self.cache.authorized_entries(&id(agent)).iter().map(|entry| entry.id().to_owned()).collect();
        ids.sort();
        ids
    }

    /// Yields to the task until the condition holds.
    async fn until(&self, condition: impl Fn() -> bool) {
        for _ in 0..5_000_000 {
            if condition() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("did not happen");
    }

    async fn tick(&self) {
        self.clock.wait_for_sleepers(1).await;
        self.clock.advance(Duration::from_secs(5));
        self.clock.wait_for_sleepers(1).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

fn agent(path: &str, not_after: i64) -> AttestedAgent {
    AttestedAgent {
        spiffe_id: id(path).to_string(),
        attestation_type: "x".into(),
        serial_number: "1".into(),
        not_after,
        new_serial_number: String::new(),
        new_not_after: 0,
        can_reattest: false,
        agent_version: String::new(),
        selectors: Vec::new(),
    }
}

fn selectors(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| Selector::parse(text).unwrap()).collect()
}

#[tokio::test]
async fn local_writes_ring_the_agents_concerned_at_once() {
    // SA-228, A5
    let s = Server::new().await;
    assert_eq!(s.ids("/spire/agent/a"), ["first"]);
    let mut a = s.cache.listen(&id("/spire/agent/a"));
    let mut b = s.cache.listen(&id("/spire/agent/b"));
    assert_eq!(a.next().await, Ring::default());
    assert_eq!(b.next().await, Ring::default());

    s.store.create_entry(&entry("second", "/spire/agent/a", "/w2", &["u:1"])).await.unwrap();
    assert_eq!(a.next().await, Ring { entries: true, bundles: false });
    assert_eq!(s.ids("/spire/agent/a"), ["first", "second"]);

    let mut changed = entry("second", "/spire/agent/b", "/w2", &["u:1"]);
    changed.hint = "h".into();
    s.store.update_entry(&changed, &EntryMask::ALL).await.unwrap();
    assert_eq!(a.next().await, Ring { entries: true, bundles: false });
    assert_eq!(b.next().await, Ring { entries: true, bundles: false });
    assert_eq!(
        (s.ids("/spire/agent/a"), s.ids("/spire/agent/b")),
        (vec!["first".into()], vec!["second".into()])
    );
    let found = s.cache.lookup(&id("/spire/agent/b"), &["first", "second", "none"]);
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(found[1].as_ref().unwrap().message().hint, "h");

    s.store.delete_entry("first").await.unwrap();
    assert_eq!(a.next().await, Ring { entries: true, bundles: false });
    assert_eq!(s.ids("/spire/agent/a").len(), 0);
    drop(a);
    assert_eq!(s.cache.doorbell().len(), 1);
}

#[tokio::test]
async fn agents_selectors_open_aliases_and_ring() {
    // SA-227, SA-232
    let s = Server::new().await;
    s.store.create_entry(&entry("alias", "/spire/server", "/group", &["x:1"])).await.unwrap();
    s.store.create_entry(&entry("grouped", "/group", "/g", &["u:1"])).await.unwrap();
    s.until(|| s.cache.entry_count() == 3).await;
    let mut a = s.cache.listen(&id("/spire/agent/a"));
    a.next().await;
    let known = agent("/spire/agent/a", NOW + 100);
    s.store
        .record_attestation(AttestedAgent { selectors: selectors(&["x:1", "x:2"]), ..known })
        .await
        .unwrap();
    assert!(a.next().await.entries);
    assert_eq!(s.ids("/spire/agent/a"), ["first", "grouped"]);
    s.store.delete_agent(&id("/spire/agent/a").to_string()).await.unwrap();
    assert!(a.next().await.entries);
    assert_eq!(s.ids("/spire/agent/a"), ["first"]);
}

#[tokio::test]
async fn bundles_ring_those_who_hold_them() {
    let s = Server::new().await;
    let other = TrustDomain::parse("other.org").unwrap();
    s.store.create_bundle(&spire_types::Bundle::empty(other.clone())).await.unwrap();
    let mut federated = entry("federated", "/spire/agent/a", "/f", &["u:1"]);
    federated.federates_with = vec![other.clone()];
    s.store.create_entry(&federated).await.unwrap();
    s.until(|| s.cache.entry_count() == 2).await;
    let (mut a, mut b) = (s.cache.listen(&id("/spire/agent/a")), s.cache.listen(&id("/spire/agent/b")));
    a.next().await;
    b.next().await;
    s.store.set_bundle(&spire_types::Bundle::empty(other)).await.unwrap();
    assert_eq!(a.next().await, Ring { entries: false, bundles: true });
    s.store
        .set_bundle(&spire_types::Bundle::empty(TrustDomain::parse("example.org").unwrap()))
        .await
        .unwrap();
    assert_eq!(a.next().await, Ring { entries: false, bundles: true });
    assert_eq!(b.next().await, Ring { entries: false, bundles: true });
}

#[tokio::test]
async fn writes_of_other_servers_are_seen_at_the_next_interval() {
    // SA-236, SA-242
    let s = Server::new().await;
    let other = s.other().await;
    other.create_entry(&entry("theirs", "/spire/agent/a", "/t", &["u:1"])).await.unwrap();
    other.delete_entry("first").await.unwrap();
    assert_eq!(s.ids("/spire/agent/a"), ["first"]);
    s.tick().await;
    s.until(|| s.ids("/spire/agent/a") == ["theirs"]).await;
}

#[tokio::test]
async fn rows_that_vanish_without_event_are_noticed() {
    // SA-328: upstream deletes entries with a bundle and writes no events
    let s = Server::new().await;
    let connection = rusqlite::Connection::open(&s.path).unwrap();
    connection.execute_batch("DELETE FROM registered_entries").unwrap();
    for _ in 0..12 {
        s.tick().await;
    }
    s.until(|| s.cache.entry_count() == 0).await;
}

#[tokio::test]
async fn expired_agents_leave_the_index() {
    // SA-246
    let s = Server::new().await;
    assert!(s.cache.fresh_agent(&id("/spire/agent/a")).is_some());
    for _ in 0..20 {
        s.tick().await;
    }
    s.until(|| s.cache.fresh_agent(&id("/spire/agent/a")).is_none()).await;
    assert_eq!(s.ids("/spire/agent/a"), ["first"]);
}

#[tokio::test]
async fn agent_row_is_never_older_than_the_last_local_change() {
    let s = Server::new().await;
    let name = id("/spire/agent/a");
    let banned = AttestedAgent { serial_number: String::new(), ..agent("/spire/agent/a", NOW + 100) };
    let mask = spire_types::AgentMask { serial_number: true, ..Default::default() };
    for _ in 0..50 {
        s.store.update_agent(&name.to_string(), &banned, &mask).await.unwrap();
        // Either the index says nothing, or it says what was just written.
        assert!(s.cache.fresh_agent(&name).is_none_or(|agent| agent.agent.is_banned()));
        s.store.update_agent(&name.to_string(), &agent("/spire/agent/a", NOW + 100), &mask).await.unwrap();
        assert!(s.cache.fresh_agent(&name).is_none_or(|agent| !agent.agent.is_banned()));
    }
    s.until(|| s.cache.fresh_agent(&name).is_some()).await;
}

fn proc_self() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    (ticks / 100.0, statm.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0)
}

/// `cargo test --release -p spire-server --lib speed -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures instead of testing; needs a release build"]
async fn speed_of_index() {
    let count: usize = std::env::var("ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    // SPEED_DB keeps the database, so that a second run measures memory without that of writing it.
    let dir = tempfile::tempdir().unwrap();
    let path =
        std::env::var("SPEED_DB").unwrap_or_else(|_| dir.path().join("data.sqlite3").display().to_string());
    let clock = spire_runtime::SystemClock::shared();
    if !std::path::Path::new(&path).exists() {
        let store = Datastore::open(DatastoreSettings::sqlite(path.clone()), clock.clone()).await.unwrap();
        store.record_attestation(agent("/spire/agent/a0", NOW + 1_000_000_000)).await.unwrap();
        let all: Vec<_> = (0..count)
            .map(|n| {
                let parent = format!("/spire/agent/a{}", n / 100);
                let mut e = entry("", &parent, &format!("/ns/default/sa/w{n}"), &["unix:uid:1000"]);
                e.selectors.push(Selector::parse(&format!("k8s:pod:{n}")).unwrap());
                e
            })
            .collect();
        for chunk in all.chunks(500) {
            store.create_entries_batch(chunk).await;
        }
        store.close().await;
    }
    let (cpu0, rss0) = proc_self();
    let began = std::time::Instant::now();
    let store = Datastore::open(DatastoreSettings::sqlite(path), clock.clone()).await.unwrap();
    let settings = EntryCacheSettings::new(TrustDomain::parse("example.org").unwrap());
    let (cache, task) = EntryCache::build(store.clone(), clock.clone(), settings).await.unwrap();
    let (cpu1, rss1) = proc_self();
    println!(
        "load {count}: {:?} wall, {:.2} s CPU, {:.0} B/entry RSS",
        began.elapsed(),
        cpu1 - cpu0,
        (rss1 - rss0) / count as f64
    );
    let shutdown = Shutdown::new();
    tokio::spawn(task.run(shutdown.clone()));
    let name = id("/spire/agent/a0");
    let mut bell = cache.listen(&name);
    bell.next().await;
    let (cpu1, _) = proc_self();
    let began = std::time::Instant::now();
    let rounds = 500;
    let mut worst = Duration::ZERO;
    for n in 0..rounds {
        let one = std::time::Instant::now();
        store.create_entry(&entry("", "/spire/agent/a0", &format!("/x{n}"), &["unix:uid:1"])).await.unwrap();
        bell.next().await;
        worst = worst.max(one.elapsed());
    }
    let (cpu2, rss2) = proc_self();
    println!(
        "create -> ring: {:?} mean, {worst:?} worst, {:.3} ms CPU each; RSS {:.0} MB",
        began.elapsed() / rounds,
        (cpu2 - cpu1) * 1000.0 / f64::from(rounds),
        rss2 / 1e6
    );
    let began = std::time::Instant::now();
    let mut bytes = 0;
    for _ in 0..10_000 {
        let view = cache.authorized_entries(&name);
        let encoded = view.as_slice()[..100].iter().map(|entry| entry.encoded(&super::super::AGENT_MASK));
        bytes += encoded.map(|entry| entry.len()).sum::<usize>();
    }
    println!("sync page of 100: {:?}, {} bytes", began.elapsed() / 10_000, bytes / 10_000);
    shutdown.trigger();
}
