use std::time::Duration;

use spire_net::local::LocalPeer;
use spire_runtime::SharedClock;
use spire_runtime::logging::{LogLevel, LogValue, emit, enabled};
use tonic::Status;

use crate::attestation::is_this_process;

/// One call, for the lines that are logged about it (AG-454).
#[derive(Debug, Clone)]
pub struct Call {
    service: &'static str,
    method: &'static str,
    subsystem: Option<&'static str>,
    pid: Option<i32>,
    clock: SharedClock,
    begun: Duration,
}

impl Call {
    /// On the public socket.
    pub fn new(
        service: &'static str,
        method: &'static str,
        peer: Option<&LocalPeer>,
        clock: &SharedClock,
    ) -> Self {
        let pid = peer.and_then(LocalPeer::pinned).map(spire_net::local::PinnedPeer::pid);
        let subsystem = Some("endpoints");
        Self { service, method, subsystem, pid, clock: clock.clone(), begun: clock.monotonic() }
    }

    /// On the administrator's socket.
    pub fn admin(
        service: &'static str,
        method: &'static str,
        peer: Option<&LocalPeer>,
        clock: &SharedClock,
    ) -> Self {
        Self { subsystem: None, ..Self::new(service, method, peer, clock) }
    }

    /// A request that makes no sense, with the line that is logged about it.
    pub fn invalid(&self, message: &'static str) -> Status {
        self.log(LogLevel::Error, &format!("Invalid argument: {message}"), &[]);
        Status::invalid_argument(message)
    }

    /// Made by the agent itself.
    pub fn is_own(&self) -> bool {
        self.pid.is_some_and(is_this_process)
    }

    /// `Canceled` calls say how long the caller had waited (AG-482).
    pub fn duration_ms(&self) -> i64 {
        let spent = self.clock.monotonic().saturating_sub(self.begun);
        i64::try_from(spent.as_millis()).unwrap_or(i64::MAX)
    }

    pub fn log(&self, level: LogLevel, message: &str, fields: &[(&str, LogValue)]) {
        if !enabled(level) {
            return;
        }
        let mut all: Vec<(&str, LogValue)> =
            vec![("method", self.method.into()), ("service", self.service.into())];
        if let Some(subsystem) = self.subsystem {
            all.push(("subsystem_name", subsystem.into()));
        }
        if let Some(pid) = self.pid {
            all.push(("pid", LogValue::Int(pid.into())));
        }
        all.extend(fields.iter().cloned());
        emit(level, message, &all);
    }
}
