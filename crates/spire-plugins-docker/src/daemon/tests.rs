use serde_json::json;

use super::fake::{self, Answer, FakeDaemon};
use super::*;

fn at(address: &str, version: &str) -> Daemon {
    Daemon::new(address.parse().unwrap(), ApiVersion::pinned(version).unwrap())
}

async fn container(daemon: &Daemon) -> Result<Container, String> {
    daemon.session().container("abc").await.map_err(|error| error.to_string())
}

fn web() -> serde_json::Value {
    json!({ "Id": "abc", "Config": { "Image": "web:1", "Labels": { "a": "b" }, "Env": ["X=1"], "Tty": false } })
}

/// A daemon that answers pings so.
fn pinged(head: fn() -> Answer, get: fn() -> Answer) -> FakeDaemon {
    FakeDaemon::start(move |line| match line {
        "HEAD /_ping" => head(),
        "GET /_ping" => get(),
        _ => fake::json(200, &web()),
    })
}

#[tokio::test]
async fn the_version_is_asked_for_once_and_one_connection_serves_a_session() {
    // PL-071, PL-085
    let fake = FakeDaemon::with(web(), Some(json!({ "Id": "sha256:1" })));
    let daemon = at(&fake.address(), "");
    let mut session = daemon.session();
    let found = session.container("abc").await.unwrap();
    assert_eq!(found.image.as_deref(), Some("web:1"));
    assert_eq!(session.image_id("web:1").await.unwrap().as_deref(), Some("sha256:1"));
    assert_eq!(fake.connections(), 1);
    container(&daemon).await.unwrap();
    assert_eq!(
        fake.asked(),
        [
            "HEAD /_ping",
            "GET /v1.41/containers/abc/json",
            "GET /v1.41/images/web:1/json",
            "GET /v1.41/containers/abc/json"
        ]
    );
}

#[tokio::test]
async fn a_pinned_version_is_not_negotiated() {
    // PL-071
    let fake = FakeDaemon::start(|_| fake::json(200, &web()));
    container(&at(&fake.address(), "1.20")).await.unwrap();
    assert_eq!(fake.asked(), ["GET /v1.20/containers/abc/json"]);
}

#[tokio::test]
async fn the_newest_common_version_is_spoken() {
    // PL-071
    let last = async |head: fn() -> Answer, get: fn() -> Answer| {
        let fake = pinged(head, get);
        container(&at(&fake.address(), "")).await.unwrap();
        fake.asked().pop().unwrap()
    };
    let (refused, silent) = (|| fake::text(500, "text/plain", ""), || fake::text(200, "text/plain", ""));
    assert_eq!(last(|| fake::version("1.99"), refused).await, "GET /v1.55/containers/abc/json");
    assert_eq!(last(refused, || fake::version("1.43")).await, "GET /v1.43/containers/abc/json");
    assert_eq!(last(silent, refused).await, "GET /v1.55/containers/abc/json");
    assert_eq!(last(|| fake::version("1.24"), refused).await, "GET /v1.55/containers/abc/json");
    assert_eq!(last(refused, refused).await, "GET /v1.55/containers/abc/json");
}

#[tokio::test]
async fn a_ping_that_fails_is_tried_again_the_next_time() {
    // PL-071
    let fake = pinged(|| fake::text(500, "text/plain", ""), || fake::text(500, "text/plain", "no"));
    let daemon = at(&fake.address(), "");
    container(&daemon).await.unwrap();
    container(&daemon).await.unwrap();
    assert_eq!(fake.asked().iter().filter(|line| *line == "HEAD /_ping").count(), 2);
}

#[tokio::test]
async fn refusals_are_told_in_the_daemons_words() {
    // PL-087
    for (answer, expected) in [
        (
            fake::json(404, &json!({ "message": " No such container: abc\n" })),
            "Error response from daemon: No such container: abc",
        ),
        (
            fake::json(500, &json!({})),
            "Error response from daemon: API returned a 500 (Internal Server Error) but provided no error-message",
        ),
        (fake::text(502, "text/html", "<p>down</p>\n"), "Error response from daemon: <p>down</p>"),
        (fake::json(200, &json!({ "Id": "abc" })), "container abc has no Config in the daemon's answer"),
    ] {
        let fake = FakeDaemon::start(move |_| answer.clone());
        assert_eq!(container(&at(&fake.address(), "1.41")).await.unwrap_err(), expected);
    }
    let fake = FakeDaemon::start(|_| fake::text(503, "text/plain", ""));
    let url = format!(
        "http://{}/v1.41/containers/abc/json",
        fake.socket().display().to_string().replace('/', "%2F")
    );
    assert_eq!(
        container(&at(&fake.address(), "1.41")).await.unwrap_err(),
        format!(
            "request returned 503 Service Unavailable for API route and version {url}, check if the server \
             supports the requested API version"
        )
    );
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_an_error() {
    let fake = FakeDaemon::start(|_| fake::text(200, "application/json", "{"));
    let error = container(&at(&fake.address(), "1.41")).await.unwrap_err();
    assert!(error.starts_with("error reading JSON: "), "{error}");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_named() {
    assert_eq!(
        container(&at("unix:///nonexistent/docker.sock", "")).await.unwrap_err(),
        "failed to connect to the docker API at unix:///nonexistent/docker.sock; check if the path is correct and \
         if the daemon is running: dial unix /nonexistent/docker.sock: connect: no such file or directory"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let address = format!("unix://{}", path.display());
    assert_eq!(
        container(&at(&address, "")).await.unwrap_err(),
        format!("Cannot connect to the Docker daemon at {address}. Is the docker daemon running?")
    );
}

#[tokio::test]
async fn a_daemon_that_hangs_up_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let task = tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    let error = container(&at(&format!("unix://{}", path.display()), "1.41")).await.unwrap_err();
    assert!(error.starts_with("error during connect: Get \"http://%2F"), "{error}");
    task.abort();
}

#[tokio::test]
async fn a_session_survives_a_closed_connection() {
    let fake = FakeDaemon::start(|_| {
        let mut answer = fake::json(200, &web());
        answer.headers_mut().insert("connection", http::HeaderValue::from_static("close"));
        answer
    });
    let daemon = at(&fake.address(), "1.41");
    let mut session = daemon.session();
    for _ in 0..3 {
        session.container("abc").await.unwrap();
    }
    assert_eq!(fake.connections(), 3);
}

#[tokio::test]
async fn names_of_images_and_containers_stay_names() {
    // PL-085
    let fake = FakeDaemon::with(web(), Some(json!({})));
    let daemon = at(&fake.address(), "1.41");
    let mut session = daemon.session();
    for name in ["", "..", "../containers/x", "a//b", "a/./b"] {
        assert!(matches!(session.image_id(name).await, Err(DaemonError::ImageName(_))), "{name}");
    }
    assert_eq!(session.image_id("r.io:5000/a/b@sha256:1").await.unwrap(), None);
    session.image_id("a?b c%#").await.unwrap();
    session.container("a?b c%#").await.unwrap();
    assert_eq!(
        fake.asked(),
        [
            "GET /v1.41/images/r.io:5000/a/b@sha256:1/json",
            "GET /v1.41/images/a%3Fb%20c%25%23/json",
            "GET /v1.41/containers/a%3Fb%20c%25%23/json"
        ]
    );
}

#[tokio::test]
async fn a_daemon_may_be_asked_over_tcp() {
    // PL-070
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}/base", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"Config\":{}}").await.unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    });
    assert_eq!(container(&at(&address, "1.41")).await, Ok(Container::default()));
    assert!(server.await.unwrap().starts_with("GET /base/v1.41/containers/abc/json HTTP/1.1\r\n"));
}
