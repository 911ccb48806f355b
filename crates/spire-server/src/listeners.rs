//! The two doors: TCP with TLS, and the local socket (SA-205 to SA-217).

use std::sync::Arc;
use std::time::Duration;

use spire_net::incoming::{IncomingOptions, tls_incoming};
use spire_net::local::{LocalListener, Tracking};
use spire_net::serve::{ServeOptions, serve};
use spire_net::tls::{Authorizer, ClientAuth, ServerTls, ServerTlsOptions};
use spire_proto::doorbell::v1::doorbell_server::DoorbellServer;
use spire_proto::server::agent::v1::agent_server::AgentServer;
use spire_proto::server::bundle::v1::bundle_server::BundleServer;
use spire_proto::server::debug::v1::debug_server::DebugServer;
use spire_proto::server::entry::v1::entry_server::EntryServer;
use spire_proto::server::localauthority::v1::local_authority_server::LocalAuthorityServer;
use spire_proto::server::logger::v1::logger_server::LoggerServer;
use spire_proto::server::svid::v1::svid_server::SvidServer;
use spire_proto::server::trustdomain::v1::trust_domain_server::TrustDomainServer;
use spire_runtime::Shutdown;
use spire_types::SpiffeId;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tower::Layer as _;

use crate::access::{Access, AccessLayer, Listener};
use crate::api::{
    AgentApi, BundleApi, DebugApi, DoorbellApi, EntryApi, HealthApi, LocalAuthorityApi, LoggerApi, SvidApi,
    TrustDomainApi,
};
use crate::core::Core;

/// Connections are made anew after this, give or take a tenth, so that a
/// changed certificate or ban is noticed (SA-212).
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(180);
/// How long calls have to finish when the server stops (SC-510).
const GRACE: Duration = Duration::from_secs(10);

type TaskError = Box<dyn std::error::Error + Send + Sync>;

fn shared_routes(core: &Arc<Core>) -> Routes {
    Routes::new(AgentServer::new(AgentApi(core.clone())))
        .add_service(BundleServer::new(BundleApi(core.clone())))
        .add_service(EntryServer::new(EntryApi(core.clone())))
        .add_service(SvidServer::new(SvidApi(core.clone())))
        .add_service(TrustDomainServer::new(TrustDomainApi(core.clone())))
        .add_service(LocalAuthorityServer::new(LocalAuthorityApi(core.clone())))
}

/// Serves TCP until `shutdown`.
pub async fn serve_tcp(
    core: Arc<Core>,
    access: Arc<Access>,
    listener: TcpListener,
    shutdown: Shutdown,
) -> Result<(), TaskError> {
    let address = listener.local_addr()?.to_string();
    let tls = ServerTls::new(ServerTlsOptions {
        identity: core.server_svid.identity(),
        clients: Some(ClientAuth {
            bundles: core.bundles.clone(),
            authorize: authorizer(&core),
            mandatory: false,
        }),
        alpn: vec![b"h2"],
        policy: core.settings.tls_policy,
        clock: core.clock.clone(),
    })?;
    let options =
        IncomingOptions { proxies: core.settings.trusted_proxies.clone(), ..IncomingOptions::default() };
    let incoming = tls_incoming(listener, Arc::new(tls), options);
    let routes = shared_routes(&core).add_service(DoorbellServer::new(DoorbellApi(core.clone())));
    let service = AccessLayer { access, listener: Listener::Tcp }.layer(routes.prepare());
    let options = ServeOptions { max_connection_age: Some(MAX_CONNECTION_AGE), ..ServeOptions::default() };
    let serving = serve(service, incoming, options, stop(shutdown.clone(), "tcp", address.clone()));
    finish(serving, shutdown, "tcp", &address).await;
    Ok(())
}

/// Serves the local socket until `shutdown`.
pub async fn serve_local(
    core: Arc<Core>,
    access: Arc<Access>,
    listener: LocalListener,
    shutdown: Shutdown,
) -> Result<(), TaskError> {
    let address = core.settings.socket_path.display().to_string();
    // Who they are is only asked when it is written down (SA-215).
    let tracking = if core.settings.audit_log_enabled { Tracking::Pinned } else { Tracking::Off };
    let routes = shared_routes(&core)
        .add_service(LoggerServer::new(LoggerApi(core.clone())))
        .add_service(DebugServer::new(DebugApi::new(core.clone())))
        .add_service(HealthServer::new(HealthApi(core.clone())));
    let service = AccessLayer { access, listener: Listener::Local }.layer(routes.prepare());
    let stop = stop(shutdown.clone(), "unix", address.clone());
    let serving = serve(service, listener.incoming(tracking), ServeOptions::default(), stop);
    finish(serving, shutdown, "unix", &address).await;
    Ok(())
}

async fn stop(shutdown: Shutdown, network: &'static str, address: String) {
    shutdown.cancelled().await;
    tracing::info!(subsystem_name = "endpoints", address, network, "Stopping Server APIs");
    tracing::info!(subsystem_name = "endpoints", address, network, "Attempting graceful stop");
}

/// Waits for the server, and after the order to stop not longer than it may take.
async fn finish(serving: impl Future<Output = ()>, shutdown: Shutdown, network: &str, address: &str) {
    tracing::info!(subsystem_name = "endpoints", address, network, "Starting Server APIs");
    let patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = serving => {
            tracing::info!(subsystem_name = "endpoints", address, network, "Graceful stop successful");
        }
        () = patience => tracing::info!(
            subsystem_name = "endpoints",
            address,
            network,
            "Graceful stop unsuccessful, forced stop after 10s"
        ),
    }
    tracing::info!(subsystem_name = "endpoints", address, network, "Server APIs have stopped");
}

/// Members of the trust domain, and administrators from anywhere (SA-207).
fn authorizer(core: &Core) -> Authorizer {
    let trust_domain = core.settings.trust_domain.clone();
    let admin_ids = core.settings.admin_ids.clone();
    Arc::new(move |id: &SpiffeId| {
        if id.is_member_of(&trust_domain) || admin_ids.contains(id) {
            return Ok(());
        }
        Err(format!("unexpected trust domain in ID {:?}", id.to_string()))
    })
}
