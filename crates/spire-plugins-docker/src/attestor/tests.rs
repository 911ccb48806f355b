use std::fs;
use std::path::Path;

use serde_json::json;
use spire_runtime::{ManualClock, SystemClock};

use super::*;
use crate::daemon::fake::{self, FakeDaemon};

const ID: &str = "6469646e742065787065637420616e796f6e6520746f20726561642074686973";

fn context(clock: SharedClock) -> PluginContext {
    PluginContext { trust_domain: "example.org".parse().unwrap(), clock }
}

/// A machine with one process, 123, whose cgroups are given.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(cgroup: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/123")).unwrap();
        fs::write(root.path().join("proc/123/cgroup"), cgroup).unwrap();
        Self(root)
    }

    fn docker() -> Self {
        Self::new(&format!("10:devices:/docker/{ID}\n"))
    }

    fn attestor(&self, settings: &str, clock: SharedClock) -> Docker {
        let settings = Settings::read(&spire_config::parse(settings).unwrap()).unwrap();
        Docker::new(&context(clock), settings, self.0.path().to_owned())
    }

    async fn attest(&self, settings: &str) -> Result<Vec<String>, String> {
        attest(&self.attestor(settings, SystemClock::shared())).await
    }
}

async fn attest(attestor: &Docker) -> Result<Vec<String>, String> {
    let process = PinnedProcess { pid: 123, proc_dir: Path::new("/proc/123") };
    attestor.attest(process).await.map_err(|error| error.rpc_text())
}

fn socket(fake: &FakeDaemon) -> String {
    format!("docker_socket_path = {:?}\n", fake.address())
}

#[tokio::test]
async fn a_container_has_labels_variables_image_and_digest() {
    // PL-088 to PL-091, PL-094
    let fake = FakeDaemon::with(
        json!({ "Config": {
            "Labels": { "z": "1", "a:b": "c:d", "empty": "" },
            "Env": ["VAR=val", "VAR2=a=b", "BARE"],
            "Image": "web:1"
        } }),
        Some(json!({ "Id": "sha256:5a" })),
    );
    assert_eq!(
        Machine::docker().attest(&socket(&fake)).await.unwrap(),
        [
            "label:a:b:c:d",
            "label:empty:",
            "label:z:1",
            "env:VAR=val",
            "env:VAR2=a=b",
            "env:BARE",
            "image_id:web:1",
            "image_config_digest:sha256:5a"
        ]
    );
    assert_eq!(fake.asked()[1], format!("GET /v1.41/containers/{ID}/json"));
}

#[tokio::test]
async fn what_a_container_has_not_makes_no_selector() {
    // PL-085, PL-090
    let fake = FakeDaemon::with(json!({ "Config": { "Labels": null, "Env": null, "Image": "" } }), None);
    assert_eq!(Machine::docker().attest(&socket(&fake)).await, Ok(Vec::new()));
    assert!(!fake.asked().iter().any(|line| line.contains("/images/")));
}

#[tokio::test]
async fn an_image_that_is_gone_costs_the_digest_alone() {
    // PL-086, PL-091
    for image in [None, Some(json!({ "Id": "" }))] {
        let fake = FakeDaemon::with(json!({ "Config": { "Image": "web:1" } }), image);
        assert_eq!(Machine::docker().attest(&socket(&fake)).await.unwrap(), ["image_id:web:1"]);
        assert_eq!(fake.asked().iter().filter(|line| line.contains("/images/")).count(), 1);
    }
}

#[tokio::test]
async fn a_process_outside_of_containers_asks_nobody() {
    // PL-016
    let fake = FakeDaemon::with(json!({}), None);
    assert_eq!(Machine::new("0::/user.slice\n").attest(&socket(&fake)).await, Ok(Vec::new()));
    let nowhere = PathBuf::from("/nonexistent");
    let settings = Settings::read(&spire_config::parse(&socket(&fake)).unwrap()).unwrap();
    assert_eq!(
        attest(&Docker::new(&context(SystemClock::shared()), settings, nowhere)).await,
        Ok(Vec::new())
    );
    assert_eq!(fake.connections(), 0);
}

#[tokio::test]
async fn inspection_is_tried_four_times_with_growing_waits() {
    // PL-086, PL-087
    let fake = FakeDaemon::start(|_| fake::json(404, &json!({ "message": "No such container" })));
    let clock = ManualClock::at_unix(0);
    let settings = format!("{}docker_version = \"1.41\"", socket(&fake));
    let machine = Machine::docker();
    let attestor = machine.attestor(&settings, clock.shared());
    let task = tokio::spawn(async move { attest(&attestor).await });
    for (attempt, wait) in WAITS.into_iter().enumerate() {
        clock.wait_for_sleepers(1).await;
        assert_eq!(fake.asked().len(), attempt + 1);
        clock.advance(wait - Duration::from_millis(1));
        clock.wait_for_sleepers(1).await;
        clock.advance(Duration::from_millis(1));
    }
    assert_eq!(
        task.await.unwrap().unwrap_err(),
        "rpc error: code = Unknown desc = Error response from daemon: No such container"
    );
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test]
async fn a_container_that_appears_late_is_found() {
    // PL-086
    let attempts = std::sync::atomic::AtomicUsize::new(0);
    let fake = FakeDaemon::start(move |_| match attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 | 1 => fake::json(404, &json!({ "message": "No such container" })),
        _ => fake::json(200, &json!({ "Config": { "Env": ["A=1"] } })),
    });
    let clock = ManualClock::at_unix(0);
    let settings = format!("{}docker_version = \"1.41\"", socket(&fake));
    let machine = Machine::docker();
    let attestor = machine.attestor(&settings, clock.shared());
    let task = tokio::spawn(async move { attest(&attestor).await });
    for wait in &WAITS[..2] {
        clock.wait_for_sleepers(1).await;
        clock.advance(*wait);
    }
    assert_eq!(task.await.unwrap().unwrap(), ["env:A=1"]);
}

#[tokio::test]
async fn containers_of_podman_are_asked_about_at_podman() {
    // PL-082, PL-084
    let podman = FakeDaemon::with(json!({ "Config": { "Env": ["P=1"] } }), None);
    let folder = podman.socket();
    let rootful = format!("podman_socket_path = \"unix://{}\"\n", folder.display());
    let machine = Machine::new(&format!("0::/machine.slice/libpod-{ID}.scope\n"));
    assert_eq!(machine.attest(&rootful).await.unwrap(), ["env:P=1"]);
    // A pinned version is for Docker alone, and each attestation starts anew.
    assert_eq!(machine.attest(&format!("{rootful}docker_version = \"1.30\"")).await.unwrap(), ["env:P=1"]);
    assert_eq!(podman.asked().iter().filter(|line| *line == "HEAD /_ping").count(), 2);
    // The user's number stands for the name of the socket.
    let link = folder.with_file_name("1000");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    let rootless =
        format!("podman_socket_path_template = \"unix://{}/%d\"", link.parent().unwrap().display());
    let machine = Machine::new(&format!("0::/user.slice/user-1000.slice/x/libpod-{ID}.scope\n"));
    assert_eq!(machine.attest(&rootless).await.unwrap(), ["env:P=1"]);
}

#[tokio::test]
async fn a_socket_of_podman_that_is_no_address_fails_the_attestation() {
    // PL-084
    let machine = Machine::new(&format!("0::/machine.slice/libpod-{ID}.scope\n"));
    assert_eq!(
        machine.attest("podman_socket_path = \"/run/p.sock\"").await.unwrap_err(),
        "rpc error: code = Unknown desc = unable to create Podman client for socket \"/run/p.sock\": unable to \
         parse docker host `/run/p.sock`"
    );
}

#[tokio::test]
async fn patterns_of_the_operator_find_other_ids() {
    // PL-081
    let fake = FakeDaemon::with(json!({ "Config": { "Env": ["A=1"] } }), None);
    let settings = |pattern: &str| {
        format!(
            "{}use_new_container_locator = false\ncontainer_id_cgroup_matchers = [{pattern:?}]",
            socket(&fake)
        )
    };
    let machine = Machine::new("1:cpu:/\n0::/box/short\n");
    assert_eq!(machine.attest(&settings("/box/<id>")).await.unwrap(), ["env:A=1"]);
    assert_eq!(fake.asked().last().unwrap(), "GET /v1.41/containers/short/json");
    assert_eq!(machine.attest(&settings("/box/*/<id>")).await, Ok(Vec::new()));
}

#[test]
fn the_first_problem_fails_the_start_and_all_are_validated() {
    // PL-005, PL-075
    let context = context(SystemClock::shared());
    let object = spire_config::parse("nope = 1\ndocker_version = \"x\"").unwrap();
    let error = (DOCKER.build)(&context, &object).unwrap_err();
    assert_eq!(
        error.rpc_text(),
        "rpc error: code = InvalidArgument desc = unknown configurations detected: nope"
    );
    assert_eq!((DOCKER.validate)(&context, &object).len(), 2);
    assert!((DOCKER.validate)(&context, &spire_config::parse("").unwrap()).is_empty());
}

#[test]
fn the_legacy_locator_is_warned_about() {
    // PL-075
    let capture = spire_runtime::logging::capture();
    let context = context(SystemClock::shared());
    let text = "use_new_container_locator = false\ncontainer_id_cgroup_matchers = [\"/docker/<id>\"]";
    (DOCKER.build)(&context, &spire_config::parse(text).unwrap()).unwrap();
    let lines = capture.lines();
    assert_eq!(
        lines[0].message,
        "Using the legacy container locator with custom cgroup matchers. This feature will be removed in a future \
         release."
    );
    assert_eq!(lines[0].field("plugin_type"), "WorkloadAttestor");
    (DOCKER.build)(&context, &spire_config::parse("").unwrap()).unwrap();
    assert_eq!(capture.lines().len(), 1);
    // Also where the patterns turn out to be bad.
    (DOCKER.build)(&context, &spire_config::parse(&text.replace("<id>", "")).unwrap()).unwrap_err();
    assert_eq!(capture.lines().len(), 2);
}
