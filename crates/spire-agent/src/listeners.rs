//! The two sockets: for workloads, and for whoever administers the node (AG-451 to AG-453, AG-531).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use spire_net::local::{LocalListener, Tracking};
use spire_proto::agent::logger::v1::logger_server::LoggerServer;
use spire_proto::agent_debug::v1::debug_server::DebugServer;
use spire_runtime::{Chain, Shutdown};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
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

/// How a socket is named in the log.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub starting: &'static str,
    pub stopping: &'static str,
    pub apis: Option<&'static str>,
}

/// Serves a socket until `shutdown`; `opened` is called once it can be connected to.
pub async fn serve(
    path: &Path,
    mode: u32,
    names: Names,
    routes: Routes,
    opened: impl FnOnce(),
    shutdown: Shutdown,
) -> Result<(), TaskError> {
    let listener = LocalListener::bind(path, mode, 0o755).map_err(|error| Chain(&error).to_string())?;
    log(names.starting, path, names.apis);
    opened();
    let serving = Server::builder()
        .add_routes(routes)
        .serve_with_incoming_shutdown(listener.incoming(Tracking::Pinned), shutdown.cancelled());
    let patience = async {
        shutdown.cancelled().await;
        log(names.stopping, path, names.apis);
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served?,
        () = patience => {}
    }
    Ok(())
}

fn log(message: &str, path: &Path, apis: Option<&str>) {
    let address = path.display().to_string();
    match apis {
        Some(apis) => {
            tracing::info!(address, apis, network = "unix", subsystem_name = "endpoints", "{message}");
        }
        None => tracing::info!(address, network = "unix", subsystem_name = "endpoints", "{message}"),
    }
}
