use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::ManualClock;
use crate::logging::{LogLevel, capture};
use crate::shutdown::Shutdown;

struct Fixture {
    clock: ManualClock,
    checks: Checks,
    good: Arc<AtomicBool>,
    runs: Arc<AtomicUsize>,
    shutdown: Shutdown,
}

fn fixture() -> Fixture {
    let clock = ManualClock::at_unix(0);
    let checks = Checks::new(clock.shared());
    let (good, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    checks
        .register("server", {
            let (good, runs) = (good.clone(), runs.clone());
            move || {
                runs.fetch_add(1, Ordering::SeqCst);
                let good = good.load(Ordering::SeqCst);
                async move { if good { State::healthy() } else { State::failed("get_bundle_err", "no bundle") } }
            }
        })
        .unwrap();
    Fixture { clock, checks, good, runs, shutdown: Shutdown::new() }
}

#[tokio::test]
async fn probes_run_each_second_until_healthy_and_then_each_minute() {
    // SC-156, SC-157
    let log = capture();
    let Fixture { clock, checks, good, runs, shutdown } = fixture();
    let task = tokio::spawn({
        let (checks, shutdown) = (checks.clone(), shutdown.clone());
        async move { checks.run(shutdown).await }
    });
    clock.wait_for_sleepers(1).await;
    clock.advance(Duration::from_secs(1));
    while runs.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    clock.wait_for_sleepers(1).await;
    good.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_secs(1));
    while runs.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    clock.wait_for_sleepers(1).await;
    assert!(checks.ready().healthy);
    // A later failure does not shorten the period again.
    good.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(59));
    tokio::task::yield_now().await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    clock.advance(Duration::from_secs(1));
    while runs.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    clock.wait_for_sleepers(1).await;
    shutdown.trigger();
    task.await.unwrap();

    let lines: Vec<_> = log.lines().into_iter().filter(|line| line.level < LogLevel::Debug).collect();
    let said: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "Health check has failed",
            "Health check failed",
            "Health check has failed",
            "Health check recovered",
            "Health check has failed",
            "Health check failed"
        ]
    );
    assert_eq!(lines[1].field("details"), "{<nil> false false {no bundle} {no bundle}}");
    assert_eq!(lines[1].field("error"), "subsystem is not live or ready");
    assert_eq!((lines[3].field("failures"), lines[3].field("duration")), ("2", "2"));
}

#[tokio::test]
async fn a_check_that_is_still_starting_warns_once_per_error() {
    // AG-571
    let log = capture();
    let clock = ManualClock::at_unix(0);
    let checks = Checks::new(clock.shared());
    let starting = || async { State { started: Some(false), ready: false, ..State::healthy() } };
    checks.register("agent", starting).unwrap();
    assert_eq!(
        checks.register("agent", starting).unwrap_err().to_string(),
        "check \"agent\" has already been added"
    );
    let shutdown = Shutdown::new();
    let task = tokio::spawn({
        let (checks, shutdown) = (checks.clone(), shutdown.clone());
        async move { checks.run(shutdown).await }
    });
    for _ in 0..3 {
        clock.wait_for_sleepers(1).await;
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert!(checks.live().healthy && !checks.ready().healthy);
    shutdown.trigger();
    task.await.unwrap();
    let warned =
        log.messages().iter().filter(|said| *said == "Health check has failed. Starting up still.").count();
    assert_eq!(warned, 1);
}

async fn ask(address: std::net::SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn http_answers_from_the_last_results() {
    // SC-155, FT-654
    let Fixture { clock, checks, good, shutdown, .. } = fixture();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn({
        let (checks, shutdown) = (checks.clone(), shutdown.clone());
        async move { http::accept(listener, Arc::default(), &checks, &shutdown).await }
    });

    let (head, body) = ask(address, "GET /ready").await;
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
    assert_eq!(body, "{\"server\":null}\n");

    good.store(true, Ordering::SeqCst);
    let probing = tokio::spawn({
        let (checks, shutdown) = (checks.clone(), shutdown.clone());
        async move { checks.run(shutdown).await }
    });
    clock.wait_for_sleepers(1).await;
    for method in ["GET", "POST", "DELETE"] {
        let (head, body) = ask(address, &format!("{method} /live")).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
        assert_eq!(body, "{\"server\":{}}\n");
    }
    let (head, _) = ask(address, "GET /other").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert!(head.to_lowercase().contains("x-content-type-options: nosniff"), "{head}");
    shutdown.trigger();
    server.await.unwrap();
    probing.await.unwrap();
}

#[tokio::test]
async fn a_listener_that_cannot_bind_only_warns() {
    // SC-157
    let log = capture();
    let Fixture { clock, checks, shutdown, .. } = fixture();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = HealthSettings {
        listener_enabled: true,
        bind_address: "localhost".into(),
        bind_port: port.to_string(),
        ..HealthSettings::default()
    };
    let task = tokio::spawn(serve(settings, checks, shutdown.clone()));
    clock.wait_for_sleepers(1).await;
    while log.find("Error serving health checks").is_none() {
        tokio::task::yield_now().await;
    }
    let warning = log.find("Error serving health checks").unwrap();
    assert_eq!(warning.field("error"), format!("listen tcp 127.0.0.1:{port}: bind: address already in use"));
    shutdown.trigger();
    task.await.unwrap();
}

#[test]
fn addresses_and_paths_have_defaults() {
    // SC-151 to SC-154
    let settings = HealthSettings::default();
    assert_eq!((settings.address().as_str(), settings.live_path()), ("localhost:80", "/live"));
    let settings = HealthSettings { bind_address: "[::1]".into(), bind_port: "8080".into(), ..settings };
    assert_eq!(settings.address(), "[::1]:8080");
    let same = HealthSettings { live_path: "/ready".into(), ..settings };
    assert!(same.check().is_err());
}
