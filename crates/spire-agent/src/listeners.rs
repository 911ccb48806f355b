//! The two sockets: for workloads, and for whoever administers the node (AG-451 to AG-453, AG-531).

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use spire_net::local::{BindError, LocalListener, Tracking};
use spire_net::serve::{ServeOptions, serve};
use spire_proto::agent::logger::v1::logger_server::LoggerServer;
use spire_proto::agent_debug::v1::debug_server::DebugServer;
use spire_runtime::logging::{LogValue, os_error_text};
use spire_runtime::{Chain, Shutdown};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::pb::health_server::HealthServer;

use tonic_reflection::pb::v1::server_reflection_server as v1;
use tonic_reflection::pb::v1alpha::server_reflection_server as v1alpha;

use crate::api::{DebugApi, HealthApi, LoggerApi, ReflectionApi, Schema, Unserved, Worded, WorkloadService};

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
    let mut services = ALWAYS.to_vec();
    if let Some(workload) = workload {
        services.push(WorkloadService::NAME);
        routes.add_service(workload);
    }
    routes.add_service(Worded::new(HealthServer::new(health), &["Check", "Watch"]));
    let reflection = ReflectionApi(Arc::new(Schema::new(
        &[
            spire_proto::descriptors::WORKLOAD,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ],
        services.iter().map(|name| (*name).to_owned()).collect(),
    )?));
    let methods = &["ServerReflectionInfo"];
    routes.add_service(Worded::new(v1::ServerReflectionServer::new(reflection.clone()), methods));
    routes.add_service(Worded::new(v1alpha::ServerReflectionServer::new(reflection), methods));
    Ok(complete(routes.routes(), &services))
}

pub fn admin_routes(logger: LoggerApi, debug: DebugApi) -> Routes {
    let services = [LoggerServer::<LoggerApi>::NAME, DebugServer::<DebugApi>::NAME];
    let logger = Worded::new(LoggerServer::new(logger), &["GetLogger", "SetLogLevel", "ResetLogLevel"]);
    let debug = Worded::new(DebugServer::new(debug), &["GetInfo"]);
    complete(Routes::new(logger).add_service(debug), &services)
}

/// With an answer to everything else.
fn complete(routes: Routes, services: &[&'static str]) -> Routes {
    routes.into_axum_router().fallback_service(Unserved::beside(services)).into()
}

/// A socket, for the lines that are logged about it.
#[derive(Debug, Clone, Copy)]
pub enum Socket {
    Public { apis: &'static str },
    Admin,
}

impl Socket {
    /// In upstream's words, but a path that is too long is told more clearly.
    fn unopened(self, error: &BindError) -> String {
        let failed = match self {
            Self::Public { .. } => "create UDS listener",
            Self::Admin => "error creating UDS listener",
        };
        match error {
            BindError::Listen { path, source } if source.kind() != io::ErrorKind::InvalidInput => {
                format!("{failed}: listen unix {}: bind: {}", path.display(), os_error_text(source))
            }
            _ => Chain(error).to_string(),
        }
    }

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
    let listener = LocalListener::bind(path, mode, 0o755).map_err(|error| socket.unopened(&error))?;
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
    use http_body_util::Full;
    use spire_runtime::ManualClock;
    use tonic::body::Body;
    use tonic::{Code, Status};
    use tower::ServiceExt as _;

    use super::*;

    fn public() -> Routes {
        let health = HealthApi { socket_path: None, clock: ManualClock::at_unix(0).shared() };
        public_routes(None, health).unwrap()
    }

    async fn refusal(request: http::Request<Body>) -> (Code, String) {
        let answer = public().oneshot(request).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        (status.code(), status.message().to_owned())
    }

    #[tokio::test]
    async fn what_is_not_served_is_named() {
        // With an empty text nobody finds out that a service is disabled, or that its name is misspelt.
        for (path, expected) in [
            ("/foo.Bar/Baz", "unknown service foo.Bar"),
            ("/SpiffeWorkloadAPI/FetchX509SVID", "unknown service SpiffeWorkloadAPI"),
            ("/grpc.health.v1.Health/List", "method List not implemented"),
            ("/grpc.health.v1.Health/Nope", "unknown method Nope for service grpc.health.v1.Health"),
            ("/grpc.health.v1.Health/", "unknown method  for service grpc.health.v1.Health"),
            ("/grpc.health.v1.Health/Check/x", "unknown service grpc.health.v1.Health/Check"),
            ("/x", "malformed method name: \"/x\""),
        ] {
            let refused = refusal(http::Request::post(path).body(Body::empty()).unwrap()).await;
            assert_eq!(refused, (Code::Unimplemented, expected.to_owned()), "{path}");
        }
    }

    #[tokio::test]
    async fn requests_that_cannot_be_read_are_refused_in_gos_words() {
        for (encoding, body, code, text) in [
            (
                "identity",
                &[0, 0, 0x40, 0, 1][..],
                Code::ResourceExhausted,
                "grpc: received message larger than max (4194305 vs. 4194304)",
            ),
            (
                "gzip",
                &[0; 5],
                Code::Unimplemented,
                "grpc: Decompressor is not installed for grpc-encoding \"gzip\"",
            ),
            (
                "identity",
                &[0, 0, 0, 0, 1, 7],
                Code::Internal,
                "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data",
            ),
            (
                "identity",
                &[0, 0, 0, 0, 3, 0x0a, 1, 0xff],
                Code::Internal,
                "grpc: error unmarshalling request: string field contains invalid UTF-8",
            ),
        ] {
            let request = http::Request::post("/grpc.health.v1.Health/Check")
                .header("grpc-encoding", encoding)
                .body(Body::new(Full::new(bytes::Bytes::from_static(body))));
            assert_eq!(refusal(request.unwrap()).await, (code, text.to_owned()), "{encoding} {body:?}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_cannot_be_opened_is_told_in_upstreams_words() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let shown = folder.path().display();
        for (socket, failed) in [
            (Socket::Public { apis: "" }, "create UDS listener"),
            (Socket::Admin, "error creating UDS listener"),
        ] {
            let error =
                serve_socket(folder.path(), 0o777, socket, Routes::default(), || {}, Shutdown::new()).await;
            assert_eq!(
                error.unwrap_err().to_string(),
                format!("{failed}: listen unix {shown}: bind: address already in use")
            );
        }
        let long = folder.path().join("x".repeat(200));
        let error =
            serve_socket(&long, 0o777, Socket::Admin, Routes::default(), || {}, Shutdown::new()).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            format!("unable to listen on {}: path must be shorter than SUN_LEN", long.display())
        );
    }

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
