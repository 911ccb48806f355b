//! The same file under SPIRE's own server and under ours.
//!
//! `SPIRE_SERVER_BIN=/path/to/spire-server cargo test -p spire-datastore --test it upstream -- --ignored`

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use spire_datastore::{Datastore, DatastoreSettings, EventRange};
use spire_runtime::SystemClock;
use spire_types::{EntryMask, FederationRelationship};

use crate::support::{agent, bundle, entry, jwt, rows, selectors, td};

struct Upstream {
    child: Child,
    binary: String,
    dir: std::path::PathBuf,
}

impl Upstream {
    fn start(dir: &Path) -> Self {
        let binary = std::env::var("SPIRE_SERVER_BIN").expect("SPIRE_SERVER_BIN names SPIRE's spire-server");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let d = dir.display();
        let config = format!(
            r#"server {{ bind_address = "127.0.0.1" bind_port = "{port}" socket_path = "{d}/api.sock" trust_domain = "example.org" data_dir = "{d}" log_file = "{d}/log" }}
               plugins {{
                 DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{d}/data.sqlite3" }} }}
                 KeyManager "disk" {{ plugin_data {{ keys_path = "{d}/keys.json" }} }}
                 NodeAttestor "join_token" {{ plugin_data {{}} }}
               }}"#
        );
        std::fs::write(dir.join("server.conf"), config).unwrap();
        let child = Command::new(&binary)
            .args(["run", "-config", &dir.join("server.conf").display().to_string()])
            .env("TZ", "UTC")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let upstream = Self { child, binary, dir: dir.to_owned() };
        let began = Instant::now();
        while !upstream.run(&["healthcheck"]).status.success() {
            assert!(began.elapsed() < Duration::from_secs(30), "{}", upstream.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        upstream
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let socket = self.dir.join("api.sock").display().to_string();
        let arguments = [arguments, &["-socketPath", &socket]].concat();
        Command::new(&self.binary).args(arguments).output().unwrap()
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn stop(mut self) -> String {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap();
        self.log()
    }
}

async fn ours(dir: &Path) -> Datastore {
    let settings = DatastoreSettings::sqlite(dir.join("data.sqlite3").display().to_string());
    Datastore::open(settings, SystemClock::shared()).await.unwrap()
}

#[tokio::test]
#[ignore = "needs SPIRE_SERVER_BIN"]
async fn database_goes_back_and_forth_between_upstream_and_us() {
    // SA-294, SA-396..405
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.sqlite3");

    // Theirs first.
    let upstream = Upstream::start(dir.path());
    let theirs_schema =
        rows(&path, "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").await;
    upstream.ask(&["token", "generate", "-spiffeID", "spiffe://example.org/alias"]);
    upstream.ask(&[
        "entry",
        "create",
        "-entryID",
        "theirs",
        "-parentID",
        "spiffe://example.org/spire/agent/x",
        "-spiffeID",
        "spiffe://example.org/web",
        "-selector",
        "unix:uid:1",
        "-selector",
        "a:b",
        "-dns",
        "z",
        "-dns",
        "a",
        "-hint",
        "h",
        "-x509SVIDTTL",
        "60",
        "-jwtSVIDTTL",
        "30",
        "-admin",
        "-downstream",
        "-entryExpiry",
        "4000000000",
    ]);
    upstream.stop();

    let store = ours(dir.path()).await;
    let (entries, _) = store.list_entries(&Default::default()).await.unwrap();
    assert_eq!(entries.len(), 2);
    let web = store.fetch_entry("theirs").await.unwrap().unwrap();
    assert_eq!(web.dns_names, ["z", "a"]);
    assert_eq!(
        (web.x509_svid_ttl, web.jwt_svid_ttl, web.hint.as_str(), web.expires_at),
        (60, 30, "h", 4_000_000_000)
    );
    assert!(web.admin && web.downstream && web.created_at > 1_700_000_000);
    let own = store.fetch_bundle(&td("example.org")).await.unwrap().unwrap();
    assert_eq!((own.x509_authorities.len(), own.jwt_authorities.len()), (1, 1));
    let journal = store.list_ca_journals().await.unwrap().remove(0);
    let blob = spire_datastore::blob::JournalBlob::decode(&journal.data).unwrap();
    assert_eq!((blob.encode(), blob.x509_cas.len(), blob.jwt_keys.len()), (journal.data.clone(), 1, 1));
    assert_eq!(store.list_entry_events(EventRange::All).await.unwrap().len(), 2);

    // Ours writes some of everything.
    let mut update = web.clone();
    update.hint = "ours".into();
    store.update_entry(&update, &EntryMask::ALL).await.unwrap();
    let mut other = bundle("other.org");
    other.jwt_authorities.push(jwt("k", 4_000_000_000));
    store
        .create_federation_relationship(&FederationRelationship {
            trust_domain: td("other.org"),
            bundle_endpoint_url: "https://other.org/bundle".into(),
            profile: spire_types::EndpointProfile::HttpsWeb,
            bundle: Some(bundle("other.org")),
        })
        .await
        .unwrap();
    let mut federated = entry("/ours", &["c:d"]);
    federated.federates_with = vec![td("other.org")];
    store.create_entry(&federated).await.unwrap();
    let mut node = agent("/spire/agent/x509pop/one");
    (node.not_after, node.selectors) = (4_000_000_000, selectors(&["x509pop:subject:cn:a"]));
    store.record_attestation(node.clone()).await.unwrap();
    store.append_bundle(&own).await.unwrap();
    store.set_ca_journal(&journal).await.unwrap();
    store.close().await;

    // Theirs again, on what ours wrote.
    let upstream = Upstream::start(dir.path());
    let shown = upstream.ask(&["entry", "show"]);
    assert!(shown.contains("Found 3 entries"), "{shown}");
    assert!(
        shown.contains("Hint                    : ours") && shown.contains("Revision                : 1"),
        "{shown}"
    );
    let agents = upstream.ask(&["agent", "show", "-spiffeID", &node.spiffe_id]);
    assert!(agents.contains("x509pop:subject:cn:a"), "{agents}");
    assert!(agents.contains("2096-10-02"), "{agents}");
    assert!(upstream.ask(&["federation", "list"]).contains("https://other.org/bundle"));
    assert!(upstream.ask(&["entry", "count"]).contains('3'));
    upstream.ask(&["entry", "delete", "-entryID", "theirs"]);
    let log = upstream.stop();
    // There is nobody to poll at other.org.
    assert!(
        log.lines().filter(|line| line.contains("level=error")).all(|line| line.contains("bundle_client")),
        "{log}"
    );
    assert!(log.contains("Journal loaded\" jwt_keys=1"), "{log}");

    // A database of our making is one of theirs, to the letter.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.sqlite3");
    let store = ours(dir.path()).await;
    store.create_entry(&entry("/first", &["a:b"])).await.unwrap();
    store.close().await;
    let schema =
        rows(&path, "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").await;
    assert_eq!(schema, theirs_schema);
    let upstream = Upstream::start(dir.path());
    assert!(upstream.ask(&["entry", "show"]).contains("spiffe://example.org/first"));
    let log = upstream.stop();
    assert!(!log.contains("level=error") && !log.contains("Migrating"), "{log}");
}
