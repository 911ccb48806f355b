//! Starting, stopping and getting in each other's way.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SPIRE_DEV: &str = env!("CARGO_BIN_EXE_spire-dev");

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A `spire-dev` that has said what is next.
struct Up {
    child: Child,
    said: PathBuf,
}

impl Up {
    fn start(scratch: &Path, args: &[&str]) -> Self {
        let said = scratch.join(format!("said-{}", args.join("").replace('/', "_")));
        let out = std::fs::File::create(&said).unwrap();
        let child = Command::new(SPIRE_DEV)
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut up = Self { child, said };
        let begun = Instant::now();
        while !up.text().contains("Ctrl-C stops both.") {
            assert!(up.child.try_wait().unwrap().is_none(), "{}", up.text());
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", up.text());
            std::thread::sleep(Duration::from_millis(20));
        }
        up
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Ctrl-C; the exit code.
    fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(SPIRE_DEV).args(args).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn an_ephemeral_cluster_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let up = Up::start(scratch.path(), &["--ephemeral", "-port", &free_port()]);
    let text = up.text();
    let folder = text.lines().find_map(|line| line.strip_prefix("folder")).unwrap().trim();
    let folder = PathBuf::from(folder.strip_suffix(" (removed at the end)").unwrap());
    assert!(folder.join("public/api.sock").exists());
    assert_eq!(up.interrupt(), Some(0));
    assert!(!folder.exists());
}

#[test]
fn whoever_holds_a_socket_or_port_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, port) = (scratch.path().join("d").display().to_string(), free_port());
    let up = Up::start(scratch.path(), &["-dir", &dir, "-port", &port]);
    let holder = format!("by spire-dev (pid {})", up.child.id());
    for args in [&["-dir", dir.as_str()][..], &["--ephemeral", "-port", &port]] {
        let refused = run(args);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains("is in use") && text.contains(&holder), "{text}");
    }
    // The first one is none the worse for it, and its commands need no socket paths.
    let shown = run(&["-dir", &dir, "server", "entry", "show"]);
    assert!(String::from_utf8_lossy(&shown.stdout).starts_with("Found 1 entry"), "{shown:?}");
    assert_eq!(up.interrupt(), Some(0));
}

#[test]
fn a_start_that_is_given_up_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut child = Command::new(SPIRE_DEV)
        .args(["--ephemeral", "-port", &port])
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let made = || std::fs::read_dir(scratch.path()).unwrap().flatten().map(|entry| entry.path());
    let begun = Instant::now();
    while !made().any(|folder| folder.join("server.conf").exists()) {
        if begun.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("nothing was made");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(made().count(), 0);
}
