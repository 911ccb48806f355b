//! What the HTTP probes look at (AG-568 to AG-571).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use spire_runtime::health::{Checks, State};
use spire_runtime::{SharedClock, Shutdown};
use tokio::sync::Notify;

use crate::api::probe;

/// Probes are answered from then on, come what may (AG-570).
const START_AFTER: Duration = Duration::from_secs(8);
/// A caller that waits for its SVID is no sign of illness, so a probe need not wait for the answer.
const PROBE_FOR: Duration = Duration::from_secs(10);

/// Whether the sockets are open.
#[derive(Debug, Default)]
pub struct Started {
    done: AtomicBool,
    wake: Notify,
}

impl Started {
    pub fn set(&self) {
        self.done.store(true, Ordering::Release);
        self.wake.notify_waiters();
    }

    pub fn is_set(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    async fn wait(&self) {
        loop {
            let woken = self.wake.notified();
            if self.is_set() {
                return;
            }
            woken.await;
        }
    }

    /// Waits, but not longer than a probe may have to (AG-570). `false` if the agent stops meanwhile.
    pub async fn wait_for_probes(&self, clock: &SharedClock, shutdown: &Shutdown) -> bool {
        tokio::select! {
            () = self.wait() => true,
            () = clock.sleep(START_AFTER) => true,
            () = shutdown.cancelled() => false,
        }
    }
}

/// `socket_path` is `None` without a public socket.
pub fn checks(socket_path: Option<PathBuf>, started: Arc<Started>, clock: &SharedClock) -> Checks {
    let checks = Checks::new(clock.clone());
    let registered = checks.register("agent", move || {
        let (path, started) = (socket_path.clone(), started.clone());
        async move {
            let Some(path) = path else { return without_socket(started.is_set()) };
            let answered = tokio::time::timeout(PROBE_FOR, probe(&path)).await.unwrap_or(true);
            found(started.is_set(), answered)
        }
    });
    if let Err(error) = registered {
        tracing::error!(error = %error, subsystem_name = "health", "A health check is registered twice");
    }
    checks
}

fn without_socket(started: bool) -> State {
    State {
        started: Some(started),
        live: true,
        ready: started,
        live_details: Value::Null,
        ready_details: Value::Null,
    }
}

/// An agent that is still attesting lives, but is not ready.
fn found(started: bool, answered: bool) -> State {
    let details = |ill: bool| match ill {
        true => json!({ "make_new_x509_err": "workload api is unavailable" }),
        false => json!({}),
    };
    State {
        started: Some(started),
        live: !started || answered,
        ready: answered,
        live_details: details(started && !answered),
        ready_details: details(!answered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_is_still_attesting_is_alive_but_not_ready() {
        // AG-569: an orchestrator must not kill it while it waits for the server.
        let state = found(false, false);
        assert!(state.live && !state.ready);
        assert_eq!(state.live_details, json!({}));
        assert_eq!(state.ready_details, json!({ "make_new_x509_err": "workload api is unavailable" }));
        let state = found(true, false);
        assert!(!state.live && !state.ready);
        let state = found(true, true);
        assert!(state.live && state.ready);
        assert!(without_socket(true).ready && !without_socket(false).ready);
    }
}
