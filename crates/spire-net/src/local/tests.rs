use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

use super::*;

fn ourselves() -> PeerCredentials {
    let pid = i32::try_from(std::process::id()).unwrap();
    PeerCredentials {
        pid,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}

#[tokio::test]
async fn a_connection_knows_the_process_that_made_it() {
    // AG-457
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let mut incoming = LocalListener::bind(&path, 0o777, 0o755).unwrap().incoming(Tracking::Pinned);
    let mut client = UnixStream::connect(&path).await.unwrap();
    let mut server = incoming.next().await.unwrap().unwrap();
    let peer = server.connect_info();
    assert_eq!(peer.pinned().unwrap().credentials(), ourselves());
    peer.pinned().unwrap().is_alive().unwrap();

    client.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    server.read_exact(&mut bytes).await.unwrap();
    server.write_all(b"pong").await.unwrap();
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"pong");
    server.shutdown().await.unwrap();
    assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
}

#[tokio::test]
async fn an_untracked_listener_pins_nobody() {
    // SA-215
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let mut incoming = LocalListener::bind(&path, 0o770, 0o750).unwrap().incoming(Tracking::Off);
    let _client = UnixStream::connect(&path).await.unwrap();
    assert!(incoming.next().await.unwrap().unwrap().peer().pinned().is_none());
}

#[tokio::test]
async fn a_stale_file_is_replaced_and_ours_is_removed_at_the_end() {
    // SA-214
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("private/deep/api.sock");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "stale").unwrap();
    let listener = LocalListener::bind(&path, 0o770, 0o750).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o770);

    let successor = LocalListener::bind(&path, 0o770, 0o750).unwrap();
    drop(listener);
    assert!(path.exists(), "the file of a successor was removed");
    drop(successor);
    assert!(!path.exists());

    let error = LocalListener::bind(Path::new("/proc/none/x/api.sock"), 0o770, 0o750).unwrap_err();
    assert_eq!(error.to_string(), "unable to create socket directory /proc/none/x");
}

#[tokio::test]
async fn an_empty_folder_is_replaced_and_a_full_one_is_kept() {
    // A container runtime leaves an empty one behind where it could not find the socket that it was to mount.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    std::fs::create_dir(&path).unwrap();
    drop(LocalListener::bind(&path, 0o777, 0o755).unwrap());

    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("file"), "").unwrap();
    let error = LocalListener::bind(&path, 0o777, 0o755).unwrap_err();
    let in_use = |source: &std::io::Error| source.kind() == std::io::ErrorKind::AddrInUse;
    assert!(matches!(&error, BindError::Listen { source, .. } if in_use(source)), "{error:?}");
    assert!(path.join("file").exists());
}

fn sleeper() -> std::process::Child {
    Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

fn credentials_of(child: &std::process::Child) -> PeerCredentials {
    PeerCredentials { pid: i32::try_from(child.id()).unwrap(), ..ourselves() }
}

#[test]
fn a_process_that_has_exited_is_gone_even_before_it_is_reaped() {
    // AG-458
    let mut child = sleeper();
    let pinned = PinnedPeer::pin(credentials_of(&child)).unwrap();
    pinned.is_alive().unwrap();
    child.kill().unwrap();
    // A zombie until `wait`: the kernel keeps the id but the process is no more.
    while pinned.is_alive().is_ok() {
        std::thread::yield_now();
    }
    child.wait().unwrap();
    assert!(matches!(pinned.is_alive().unwrap_err(), PeerGone::Exited));
    let error = PinnedPeer::pin(credentials_of(&child)).unwrap_err();
    assert!(matches!(error, PinError::Handle { .. }), "{error}");
}

#[test]
fn credentials_must_be_those_of_the_owner_of_the_process() {
    // AG-458
    let ours = ourselves();
    let pinned = PinnedPeer::pin(PeerCredentials { uid: ours.uid + 1, ..ours }).unwrap();
    assert_eq!(
        pinned.is_alive().unwrap_err().to_string(),
        format!(
            "new process detected: process uid {} does not match original caller {}",
            ours.uid,
            ours.uid + 1
        )
    );
    let pinned = PinnedPeer::pin(PeerCredentials { gid: ours.gid + 1, ..ours }).unwrap();
    assert!(matches!(pinned.is_alive().unwrap_err(), PeerGone::OtherGid { .. }));
}

/// A folder like /proc in which `pid` started at `ticks`.
fn fake_proc(pid: i32, ticks: u64) -> &'static Path {
    let root: PathBuf = tempfile::tempdir().unwrap().keep();
    write_stat(&root, pid, ticks);
    Box::leak(root.into_boxed_path())
}

fn write_stat(root: &Path, pid: i32, ticks: u64) {
    let folder = root.join(pid.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let before = vec!["1"; 18].join(" ");
    let after = vec!["2"; 30].join(" ");
    std::fs::write(folder.join("stat"), format!("{pid} (a (b) c) S {before} {ticks} {after}\n")).unwrap();
}

#[test]
fn a_recycled_pid_is_told_by_its_start_time() {
    // AG-458: same id, same user, other process
    let credentials = ourselves();
    let proc = fake_proc(credentials.pid, 4711);
    let pinned = PinnedPeer::pin_in(proc, credentials, None).unwrap();
    pinned.is_alive().unwrap();
    write_stat(proc, credentials.pid, 4712);
    assert_eq!(
        pinned.is_alive().unwrap_err().to_string(),
        "new process detected: process starttime 4712 does not match original caller 4711"
    );
}

#[test]
fn a_peer_outside_of_our_namespace_is_refused() {
    // AG-457
    let error = PinnedPeer::pin(PeerCredentials { pid: 0, uid: 0, gid: 0 }).unwrap_err();
    assert_eq!(error.to_string(), "could not resolve caller information");
}

#[test]
fn the_start_time_is_found_behind_any_program_name() {
    // AG-457
    let fields = |name: &str, count: usize| {
        let rest: Vec<String> = (3..=count).map(|number| number.to_string()).collect();
        format!("1 ({name}) {}", rest.join(" "))
    };
    for name in ["plain", "a b", "evil) S 1 (x", ")", ""] {
        assert_eq!(pin::parse_start_time(fields(name, 52).as_bytes()).unwrap(), 22, "{name}");
    }
    assert!(matches!(pin::parse_start_time(fields("x", 37).as_bytes()), Err(PinError::Fields)));
    assert!(matches!(pin::parse_start_time(b"1 x S 2"), Err(PinError::TaskName)));
}

#[tokio::test]
async fn a_failed_check_closes_the_connection() {
    // AG-459: the connection outlives the process that made it, here in the hands of this test
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut client = UnixStream::connect(&path).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let stream = std::sync::Arc::new(stream);
    let wrong = PeerCredentials { uid: ourselves().uid + 1, ..ourselves() };
    let pinned = PinnedPeer::of_connection(wrong, &stream).unwrap();
    pinned.is_alive().unwrap_err();
    let mut bytes = [0; 1];
    assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_is_gone_at_accept_is_refused_and_the_next_one_served() {
    // AG-457
    let log = spire_runtime::logging::capture();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let mut incoming = LocalListener::bind(&path, 0o777, 0o755).unwrap().incoming(Tracking::Pinned);
    // Another process that connects and exits at once: this program, told to run the test below only.
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "local::tests::connect_and_exit"])
        .env(SOCKET_OF_PARENT, &path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let _client = UnixStream::connect(&path).await.unwrap();
    let server = incoming.next().await.unwrap().unwrap();
    assert_eq!(server.peer().pinned().unwrap().pid(), ourselves().pid);
    assert_eq!(log.messages(), ["Connection failed during accept"]);
}

const SOCKET_OF_PARENT: &str = "SPIRE_NET_TEST_SOCKET";

#[test]
#[ignore = "the child process of another test"]
fn connect_and_exit() {
    std::os::unix::net::UnixStream::connect(std::env::var_os(SOCKET_OF_PARENT).unwrap()).unwrap();
}

#[test]
fn a_connection_costs_little_memory() {
    assert!(size_of::<LocalStream>() <= 40, "{}", size_of::<LocalStream>());
    assert!(size_of::<PinnedPeer>() <= 64, "{}", size_of::<PinnedPeer>());
}
