//! Runs the probes and remembers what they said.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use crate::clock::{BoxFuture, SharedClock};
use crate::logging::{LogLevel, LogValue, emit};
use crate::shutdown::Shutdown;

/// Until all subsystems were ready and live once.
const STARTING: Duration = Duration::from_secs(1);
/// From then on, for good (SC-156).
const STEADY: Duration = Duration::from_secs(60);

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// `Some(false)`: failures are expected, the subsystem is still starting.
    pub started: Option<bool>,
    /// Good, or able to recover without a restart.
    pub live: bool,
    /// Able to do its work.
    pub ready: bool,
    /// Shown under the subsystem's name; an object such as `{}` or `{"list_bundle_err": "…"}`, or null.
    pub live_details: Value,
    pub ready_details: Value,
}

impl State {
    /// Everything is fine; details are `{}`.
    pub fn healthy() -> Self {
        let none = || Value::Object(serde_json::Map::new());
        Self { started: None, live: true, ready: true, live_details: none(), ready_details: none() }
    }

    /// Neither live nor ready, with one member that says why.
    pub fn failed(member: &str, error: impl fmt::Display) -> Self {
        let details = serde_json::json!({ member: error.to_string() });
        Self {
            started: None,
            live: false,
            ready: false,
            live_details: details.clone(),
            ready_details: details,
        }
    }

    /// Before the first probe: not live, not ready, details null (FT-654).
    fn unknown() -> Self {
        Self {
            started: None,
            live: false,
            ready: false,
            live_details: Value::Null,
            ready_details: Value::Null,
        }
    }

    fn problem(&self) -> Option<&'static str> {
        match (self.live, self.ready) {
            (true, true) => None,
            (false, true) => Some("subsystem is not live"),
            (true, false) => Some("subsystem is not ready"),
            (false, false) => Some("subsystem is not live or ready"),
        }
    }

    /// As Go prints the struct.
    fn details(&self) -> String {
        let started = self.started.map_or_else(|| "<nil>".to_owned(), |started| started.to_string());
        let (live, ready) = (go_value(&self.live_details), go_value(&self.ready_details));
        format!("{{{started} {} {} {live} {ready}}}", self.live, self.ready)
    }
}

fn go_value(details: &Value) -> String {
    match details {
        Value::Object(members) => {
            let values: Vec<String> = members.values().map(go_value).collect();
            format!("{{{}}}", values.join(" "))
        }
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

/// The answer for one of the two HTTP paths.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub healthy: bool,
    /// By subsystem.
    pub details: BTreeMap<&'static str, Value>,
}

/// A second check of the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("check {0:?} has already been added")]
pub struct AlreadyRegistered(pub &'static str);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, State> + Send + Sync>;

struct Check {
    probe: Probe,
    status: Status,
}

#[derive(Clone)]
struct Status {
    state: State,
    error: Option<&'static str>,
    failures: u64,
    failing_since: Duration,
    /// The last error logged while starting, so that each is logged once.
    startup_error: Option<&'static str>,
}

/// The registered probes and their last results. Clones share them.
#[derive(Clone)]
pub struct Checks {
    clock: SharedClock,
    checks: Arc<Mutex<BTreeMap<&'static str, Check>>>,
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checks").field(&self.names()).finish()
    }
}

impl Checks {
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, checks: Arc::default() }
    }

    /// Adds a probe. It must bound its own time: while it runs no other probe does.
    pub fn register<F, Fut>(&self, name: &'static str, probe: F) -> Result<(), AlreadyRegistered>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = State> + Send + 'static,
    {
        let mut checks = self.checks.lock();
        if checks.contains_key(name) {
            return Err(AlreadyRegistered(name));
        }
        let status = Status {
            state: State::unknown(),
            error: None,
            failures: 0,
            failing_since: Duration::ZERO,
            startup_error: None,
        };
        checks.insert(name, Check { probe: Arc::new(move || Box::pin(probe())), status });
        Ok(())
    }

    /// Probes every second until all are live and ready, then every minute, until `shutdown`.
    pub async fn run(&self, shutdown: Shutdown) {
        tracing::debug!(subsystem_name = "health", "Initializing health checkers");
        let mut period = STARTING;
        loop {
            if shutdown.unless_cancelled(self.probe_all()).await.is_none() {
                break;
            }
            if self.live().healthy && self.ready().healthy {
                period = STEADY;
            }
            if shutdown.unless_cancelled(self.clock.sleep(period)).await.is_none() {
                break;
            }
        }
        tracing::debug!(subsystem_name = "health", "Finishing health checker");
    }

    pub fn live(&self) -> Report {
        self.report(|state| (state.live, &state.live_details))
    }

    pub fn ready(&self) -> Report {
        self.report(|state| (state.ready, &state.ready_details))
    }

    fn names(&self) -> Vec<&'static str> {
        self.checks.lock().keys().copied().collect()
    }

    fn report(&self, pick: impl Fn(&State) -> (bool, &Value)) -> Report {
        let mut report = Report { healthy: true, details: BTreeMap::new() };
        for (name, check) in &*self.checks.lock() {
            let (good, details) = pick(&check.status.state);
            report.healthy &= good;
            report.details.insert(name, details.clone());
        }
        report
    }

    async fn probe_all(&self) {
        for name in self.names() {
            let Some(probe) = self.checks.lock().get(name).map(|check| check.probe.clone()) else { continue };
            let state = probe().await;
            let now = self.clock.monotonic();
            if let Some(check) = self.checks.lock().get_mut(name) {
                check.status.update(name, state, now);
            }
        }
    }
}

impl Status {
    fn update(&mut self, name: &'static str, state: State, now: Duration) {
        let error = state.problem();
        if let Some(error) = error {
            self.log_run(name, &state, error);
        }
        match (self.error, error) {
            (None, Some(error)) => {
                tracing::warn!(subsystem_name = "health", check = name, details = %state.details(), error,
                    "Health check failed");
                self.failures = 1;
                self.failing_since = now;
            }
            (Some(_), Some(_)) => self.failures += 1,
            (Some(before), None) => {
                let duration = now.saturating_sub(self.failing_since).as_secs_f64();
                emit(
                    LogLevel::Info,
                    "Health check recovered",
                    &[
                        ("subsystem_name", "health".into()),
                        ("check", name.into()),
                        ("details", LogValue::Text(state.details())),
                        ("error", before.into()),
                        ("failures", self.failures.into()),
                        ("duration", duration.into()),
                    ],
                );
                self.failures = 0;
            }
            (None, None) => {}
        }
        self.error = error;
        self.state = state;
    }

    fn log_run(&mut self, name: &'static str, state: &State, error: &'static str) {
        if state.started != Some(false) {
            tracing::error!(subsystem_name = "health", check = name, error, "Health check has failed");
        } else if self.startup_error != Some(error) {
            tracing::warn!(
                subsystem_name = "health",
                check = name,
                error,
                "Health check has failed. Starting up still."
            );
            self.startup_error = Some(error);
        }
    }
}
