//! The two sockets: for workloads, and for whoever administers the node (AG-451 to AG-453, AG-531).

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use spire_net::local::{LocalListener, Tracking};
use spire_net::serve::{ServeOptions, serve};
use spire_proto::agent::logger::v1::logger_server::LoggerServer;
use spire_proto::agent_debug::v1::debug_server::DebugServer;
use spire_runtime::logging::LogValue;
use spire_runtime::{Chain, Shutdown};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::pb::health_server::HealthServer;

use tonic_reflection::pb::v1::server_reflection_server as v1;
use tonic_reflection::pb::v1alpha::server_reflection_server as v1alpha;

use crate::api::{DebugApi, HealthApi, LoggerApi, ReflectionApi, Schema, WorkloadService};

/// Calls that are answered when the order to stop comes have this long; streams end at once (AG-409).
const GRACE: Duration = Duration::from_secs(2);

/// What the public socket serves besides the Workload API.
const ALWAYS: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// A workload makes one call, which lasts: what it could abbreviate later is not worth keeping.
const OPTIONS: ServeOptions = ServeOptions { max_connection_age: None, header_table_size: Some(0) };

type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// `workload` is `None` when it is disabled.
pub fn public_routes(workload: Option<WorkloadService>, health: HealthApi) -> Result<Routes, TaskError> {
    let mut routes = RoutesBuilder::default();
    let mut services: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
    if let Some(workload) = workload {
        services.push(WorkloadService::NAME.to_owned());
        routes.add_service(workload);
    }
    routes.add_service(HealthServer::new(health));
    let reflection = ReflectionApi(Arc::new(Schema::new(
        &[
            spire_proto::descriptors::WORKLOAD,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ],
        services,
    )?));
    routes.add_service(v1::ServerReflectionServer::new(reflection.clone()));
    routes.add_service(v1alpha::ServerReflectionServer::new(reflection));
    Ok(routes.routes())
}

pub fn admin_routes(logger: LoggerApi, debug: DebugApi) -> Routes {
    Routes::new(LoggerServer::new(logger)).add_service(DebugServer::new(debug))
}

/// A socket, for the lines that are logged about it.
#[derive(Debug, Clone, Copy)]
pub enum Socket {
    Public { apis: &'static str },
    Admin,
}

impl Socket {
    fn log_starting(self, path: &Path) {
        let address = path.display().to_string();
        match self {
            Self::Public { apis } => {
                // Upstream logs the address itself rather than its text.
                let parts = [("Name", address.as_str().into()), ("Net", "unix".into())];
                tracing::info!(
                    address = LogValue::shown(&address, LogValue::Object(parts.into())).as_value(),
                    apis,
                    network = "unix",
                    subsystem_name = "endpoints",
                    "Starting agent APIs"
                );
            }
            Self::Admin => tracing::info!(address, network = "unix", "Starting Admin APIs"),
        }
    }

    fn log_stopping(self, path: &Path) {
        match self {
            Self::Public { apis } => {
                tracing::info!(apis, subsystem_name = "endpoints", "Stopping agent APIs");
            }
            Self::Admin => {
                tracing::info!(address = %path.display(), network = "unix", "Stopping Admin APIs");
            }
        }
    }

    fn log_stopped(self, path: &Path) {
        if let Self::Admin = self {
            tracing::info!(address = %path.display(), network = "unix", "Admin APIs have stopped");
        }
    }
}

/// Serves a socket until `shutdown`; `opened` is called once it can be connected to.
pub async fn serve_socket(
    path: &Path,
    mode: u32,
    socket: Socket,
    routes: Routes,
    opened: impl FnOnce(),
    shutdown: Shutdown,
) -> Result<(), TaskError> {
    let listener = LocalListener::bind(path, mode, 0o755).map_err(|error| Chain(&error).to_string())?;
    socket.log_starting(path);
    opened();
    let incoming = listener.incoming(Tracking::Pinned);
    let serving = serve(routes.prepare(), incoming, OPTIONS, shutdown.cancelled());
    let mut serving = pin!(serving);
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = &mut serving => return Ok(()),
    }
    socket.log_stopping(path);
    // Calls that take longer are cut off.
    let _ = tokio::time::timeout(GRACE, serving).await;
    socket.log_stopped(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_are_logged_as_upstream_logs_them() {
        // AG-451, AG-531
        let log = spire_runtime::logging::capture();
        let path = Path::new("/run/x.sock");
        for socket in [Socket::Public { apis: "Workload API" }, Socket::Admin] {
            socket.log_starting(path);
            socket.log_stopping(path);
            socket.log_stopped(path);
        }
        let shown: Vec<(String, String)> = log
            .lines()
            .iter()
            .map(|line| (line.message.clone(), line.fields.keys().cloned().collect::<Vec<_>>().join(" ")))
            .collect();
        let expected = [
            ("Starting agent APIs", "address apis network subsystem_name"),
            ("Stopping agent APIs", "apis subsystem_name"),
            ("Starting Admin APIs", "address network"),
            ("Stopping Admin APIs", "address network"),
            ("Admin APIs have stopped", "address network"),
        ];
        assert_eq!(shown, expected.map(|(message, fields)| (message.to_owned(), fields.to_owned())));
        assert!(log.lines().iter().all(|line| matches!(line.field("address"), "" | "/run/x.sock")));
    }
}
