use std::convert::Infallible;

use super::*;

const SOON: Duration = Duration::from_secs(10);

async fn until_stopped(shutdown: Shutdown) -> Result<(), Infallible> {
    shutdown.cancelled().await;
    Ok(())
}

#[tokio::test]
async fn an_orderly_stop_is_a_success() {
    let shutdown = Shutdown::new();
    let supervisor = Supervisor::new(shutdown.clone());
    supervisor.spawn("worker", until_stopped);
    shutdown.trigger();
    assert!(supervisor.join(SOON).await.is_ok());
}

#[tokio::test]
async fn an_error_stops_the_others_and_is_returned_in_its_own_words() {
    // SC-551
    let shutdown = Shutdown::new();
    let supervisor = Supervisor::new(shutdown.clone());
    supervisor.spawn("worker", until_stopped);
    supervisor
        .spawn("listener", |_| async { Err::<(), _>("listen tcp :8081: bind: address already in use") });
    let failed = supervisor.join(SOON).await.unwrap_err();
    assert_eq!(failed.task, "listener");
    assert_eq!(failed.to_string(), "listen tcp :8081: bind: address already in use");
    assert!(shutdown.is_cancelled());
}

#[tokio::test]
async fn ending_early_and_panicking_are_failures_that_name_the_task() {
    // A8, SC-551
    let supervisor = Supervisor::new(Shutdown::new());
    supervisor.spawn("rotator", |_| async { Ok::<(), Infallible>(()) });
    let failed = supervisor.join(SOON).await.unwrap_err();
    assert_eq!(failed.to_string(), "task \"rotator\" ended although nothing asked it to");

    let supervisor = Supervisor::new(Shutdown::new());
    supervisor.spawn("rotator", |_| async { if true { panic!("boom") } else { Ok::<(), Infallible>(()) } });
    let failed = supervisor.join(SOON).await.unwrap_err();
    assert_eq!(failed.to_string(), "panic: boom (in task \"rotator\")");
}

#[tokio::test]
async fn an_optional_task_may_end() {
    let shutdown = Shutdown::new();
    let supervisor = Supervisor::new(shutdown.clone());
    supervisor.spawn_optional(Stage::Front, "health", |_| async { Ok::<(), Infallible>(()) });
    supervisor.spawn("worker", {
        let shutdown = shutdown.clone();
        |mine| async move {
            tokio::task::yield_now().await;
            shutdown.trigger();
            until_stopped(mine).await
        }
    });
    assert!(supervisor.join(SOON).await.is_ok());
}

#[tokio::test]
async fn stages_stop_in_order() {
    let shutdown = Shutdown::new();
    let supervisor = Supervisor::new(shutdown.clone());
    let order = Arc::new(Mutex::new(Vec::new()));
    for (stage, name) in [(Stage::Support, "store"), (Stage::Work, "rotation"), (Stage::Front, "listener")] {
        let order = order.clone();
        supervisor.spawn_in(stage, name, move |mine| async move {
            mine.cancelled().await;
            tokio::task::yield_now().await;
            order.lock().push(name);
            Ok::<(), Infallible>(())
        });
    }
    shutdown.trigger();
    supervisor.join(SOON).await.unwrap();
    assert_eq!(*order.lock(), ["listener", "rotation", "store"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_the_order_is_cut_off_and_named() {
    let shutdown = Shutdown::new();
    let supervisor = Supervisor::new(shutdown.clone());
    supervisor.spawn("stuck", |_| async { std::future::pending::<Result<(), Infallible>>().await });
    supervisor.spawn_in(Stage::Support, "store", until_stopped);
    shutdown.trigger();
    let failed = supervisor.join(SOON).await.unwrap_err();
    assert_eq!(failed.to_string(), "task \"stuck\" did not stop in time and was cut off");
}
