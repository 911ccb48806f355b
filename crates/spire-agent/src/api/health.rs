use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures::Stream;
use spire_net::local::LocalPeer;
use spire_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use spire_proto::workload::{X509BundlesRequest, X509svidRequest};
use spire_runtime::SharedClock;
use spire_runtime::logging::LogLevel;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::call::Call;

/// `grpc.health.v1.Health` of the public socket: asks the Workload API as a workload would (AG-566, AG-567).
#[derive(Debug)]
pub struct HealthApi {
    /// `None` without a Workload API, which then cannot be ill.
    pub socket_path: Option<PathBuf>,
    pub clock: SharedClock,
}

#[tonic::async_trait]
impl Health for HealthApi {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let call = Call::new("Health", "Check", request.extensions().get::<LocalPeer>(), &self.clock);
        if !request.get_ref().service.is_empty() {
            return Err(call.invalid("per-service health is not supported"));
        }
        let fetched = match &self.socket_path {
            None => Ok(()),
            Some(path) => fetch_x509_svid(path).await,
        };
        let status = match fetched {
            // The agent itself need not have an identity.
            Err(status) if status.code() != Code::PermissionDenied => {
                let fields = [
                    ("error", spire_net::rpc_error_text(&status).into()),
                    ("reason", "unable to fetch X.509 context from Workload API".into()),
                ];
                call.log(LogLevel::Warn, "Health check failed", &fields);
                ServingStatus::NotServing
            }
            _ => ServingStatus::Serving,
        };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("method Watch not implemented"))
    }
}

fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

async fn fetch_x509_svid(path: &Path) -> Result<(), Status> {
    let mut client = SpiffeWorkloadApiClient::new(spire_net::channel::uds(path));
    let stream = client.fetch_x509svid(with_header(X509svidRequest {})).await?;
    stream.into_inner().message().await?;
    Ok(())
}

/// Whether the Workload API answers at all (AG-569).
pub async fn probe(path: &Path) -> bool {
    let mut client = SpiffeWorkloadApiClient::new(spire_net::channel::uds(path));
    let fetched = async {
        let stream = client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await?;
        stream.into_inner().message().await
    };
    !matches!(fetched.await, Err(status) if status.code() == Code::Unavailable)
}
