//! What the documents tell people to type.
//!
//! Every fenced block of README and docs is either run here or has no language (output). `spire-dev` carries the
//! commands of server and agent, so the shell functions below stand for the two programs; ports and sockets are moved
//! to a folder of the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SPIRE_DEV: &str = env!("CARGO_BIN_EXE_spire-dev");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of all blocks of a language that a shell reads.
fn commands(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut shell = None;
    for line in document.lines() {
        match (line.strip_prefix("```"), shell) {
            (Some(language), None) => shell = Some(matches!(language, "sh" | "console" | "bash")),
            (Some(_), Some(_)) => shell = None,
            (None, Some(true)) => found.push(line.strip_prefix("$ ").unwrap_or(line).to_owned()),
            (None, _) => {}
        }
    }
    found
}

/// What cargo does is done by whoever runs this test; the rest is run below.
fn is_for_cargo(line: &str) -> bool {
    const KNOWN: [&str; 4] = [
        "cargo run --release -p spire-dev",
        "cargo xtask ci",
        "cargo build --release -p spire-server-bin -p spire-agent-bin",
        "export PATH=\"$PWD/target/release:$PATH\"",
    ];
    KNOWN.contains(&line)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The samples, with ports and sockets of this test.
fn copy_samples(to: &Path) {
    let (server, health, agent_health) = (free_port(), free_port(), free_port());
    for name in ["server", "agent"] {
        let text = read(&format!("conf/{name}/{name}.conf"))
            .replace("8081", &server.to_string())
            .replace("8080", &health.to_string())
            .replace("8082", &agent_health.to_string())
            .replace("/tmp/spire-server/private/api.sock", &to.join("private/server.sock").to_string_lossy())
            .replace("/tmp/spire-agent/public/api.sock", &to.join("public/api.sock").to_string_lossy());
        std::fs::create_dir_all(to.join("conf").join(name)).unwrap();
        std::fs::write(to.join(format!("conf/{name}/{name}.conf")), text).unwrap();
    }
}

/// Waits as a person does who reads the answer before typing on.
const PREAMBLE: &str = r#"set -eu
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
spire-server() { case "$1" in run) exec "$DEV" -dir "$DIR" server "$@";; *) "$DEV" -dir "$DIR" server "$@";; esac; }
spire-agent() { case "$1" in run) exec "$DEV" -dir "$DIR" agent "$@";; *) "$DEV" -dir "$DIR" agent "$@";; esac; }
patiently() { for _ in $(seq 200); do "$@" && return; sleep 0.05; done; "$@"; }
"#;

#[test]
fn the_walk_through_of_the_readme_ends_with_an_svid() {
    let folder = tempfile::tempdir().unwrap();
    copy_samples(folder.path());
    let mut script = PREAMBLE.to_owned();
    for line in commands(&read("README.md")).iter().filter(|line| !is_for_cargo(line)) {
        let waits = line.contains("healthcheck") || line.contains("api fetch");
        script.push_str(if waits { "patiently " } else { "" });
        script.push_str(line);
        script.push('\n');
    }
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("DEV", SPIRE_DEV)
        .env("DIR", folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
    assert!(stdout.contains("spiffe://example.org/me"), "{stdout}\n{stderr}");
}

#[test]
fn the_other_documents_tell_nothing_to_type_that_is_not_run() {
    for entry in std::fs::read_dir(repository().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let unknown: Vec<String> = commands(&std::fs::read_to_string(&path).unwrap_or_default())
            .into_iter()
            .filter(|line| !is_for_cargo(line))
            .collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn spire_dev_shows_an_svid_and_keeps_its_ca_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let bundle = || {
        let said = folder.path().join("said");
        let out = std::fs::File::create(&said).unwrap();
        let mut command = Command::new(SPIRE_DEV);
        command.args(["-port", &port, "-dir"]).arg(folder.path().join("d"));
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).stdin(Stdio::null()).spawn();
        let mut running = Killed(child.unwrap());
        let begun = Instant::now();
        while !std::fs::read_to_string(&said).unwrap().contains("Ctrl-C stops both.") {
            let text = std::fs::read_to_string(&said).unwrap();
            assert!(running.0.try_wait().unwrap().is_none(), "{text}");
            assert!(begun.elapsed() < Duration::from_secs(60), "{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(std::fs::read_to_string(&said).unwrap().contains("your SVID       spiffe://dev.test/user/"));
        std::fs::read_to_string(folder.path().join("d/bundle.pem")).unwrap()
    };
    assert_eq!(bundle(), bundle());
}
