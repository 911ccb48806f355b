//! Numbers, not tests: `cargo test --release -p spire-datastore --test it speed -- --ignored --nocapture`

use std::time::Instant;

use crate::support::{Fixture, entry, id};

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

struct Stopwatch(Instant, f64);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    fn report(self, what: &str, count: usize) {
        let (wall, cpu) = (self.0.elapsed().as_secs_f64(), cpu() - self.1);
        let each = 1000.0 / count as f64;
        println!(
            "{what}: {:.0}/s, {:.4} ms wall and {:.4} ms CPU each",
            count as f64 / wall,
            wall * each,
            cpu * each
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures instead of testing; needs a release build"]
async fn speed_of_store() {
    let f = Fixture::new().await;
    let count = 100_000;
    let make = |n: usize| {
        let mut e =
            entry(&format!("/ns/default/sa/w{n}"), &["unix:uid:1000", &format!("k8s:pod-name:pod-{n}")]);
        e.parent_id = id(&format!("/spire/agent/join_token/agent-{}", n % 1000));
        e
    };
    let watch = Stopwatch::start();
    for start in (0..count).step_by(50) {
        let batch: Vec<_> = (start..start + 50).map(make).collect();
        assert!(f.store.create_entries_batch(&batch).await.iter().all(|r| !r.as_ref().unwrap().existing));
    }
    watch.report("create in batches of 50", count);
    let watch = Stopwatch::start();
    for n in 0..2000 {
        f.store.create_entry(&make(count + n)).await.unwrap();
    }
    watch.report("create singly", 2000);
    let watch = Stopwatch::start();
    let (mut after, mut loaded) = (0, 0);
    while let Some((entries, last)) = f.store.load_entries(after, 2000).await.unwrap() {
        (after, loaded) = (last, loaded + entries.len());
    }
    watch.report("load all", loaded);
    let (all, _) = f.store.list_entries(&Default::default()).await.unwrap();
    let watch = Stopwatch::start();
    for entry in all.iter().step_by(50) {
        f.store.fetch_entry(&entry.id).await.unwrap().unwrap();
    }
    watch.report("fetch", all.len() / 50);
    let watch = Stopwatch::start();
    for n in 0..500 {
        let request = spire_datastore::ListEntries {
            by_spiffe_id: Some(make(n * 100).spiffe_id),
            ..Default::default()
        };
        assert_eq!(f.store.list_entries(&request).await.unwrap().0.len(), 1);
    }
    watch.report("list by SPIFFE ID", 500);
    let watch = Stopwatch::start();
    for n in 0..50 {
        let request =
            spire_datastore::ListEntries { by_parent_id: Some(make(n).parent_id), ..Default::default() };
        assert!(f.store.list_entries(&request).await.unwrap().0.len() >= 100);
    }
    watch.report("list 100 by parent", 50);
    let watch = Stopwatch::start();
    for n in 0..500 {
        let selectors = make(n * 7).selectors;
        let request = spire_datastore::ListEntries {
            by_selectors: Some((selectors, spire_types::MatchBehavior::Exact)),
            ..Default::default()
        };
        assert_eq!(f.store.list_entries(&request).await.unwrap().0.len(), 1);
    }
    watch.report("list by two selectors", 500);
    let watch = Stopwatch::start();
    for entry in all.iter().step_by(100) {
        f.store.delete_entry(&entry.id).await.unwrap();
    }
    watch.report("delete", all.len() / 100);
}
