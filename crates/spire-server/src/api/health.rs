use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use spire_runtime::logging::LogLevel;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::access::{AuditFields, Call};
use crate::core::Core;
use crate::status::ApiError;

/// `grpc.health.v1.Health` (SA-138, SA-139).
#[derive(Debug, Clone)]
pub struct HealthApi(pub Arc<Core>);

impl HealthApi {
    async fn status(
        &self,
        call: &Call,
        request: HealthCheckRequest,
    ) -> Result<HealthCheckResponse, ApiError> {
        if !request.service.is_empty() {
            return Err(ApiError::invalid("per-service health is not supported"));
        }
        let found = self.0.datastore.fetch_bundle(&self.0.settings.trust_domain).await;
        let fields = match found {
            Ok(Some(_)) => return Ok(HealthCheckResponse { status: ServingStatus::Serving.into() }),
            Ok(None) => AuditFields::new().with("reason", "bundle is missing"),
            Err(error) => {
                AuditFields::new().with("error", error.to_string()).with("reason", "unable to fetch bundle")
            }
        };
        call.log(LogLevel::Warn, "Health check failed", fields);
        Ok(HealthCheckResponse { status: ServingStatus::NotServing.into() })
    }
}

#[tonic::async_trait]
impl Health for HealthApi {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.status(&call, request.into_inner()).await)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let text = "method Watch not implemented";
        Call::of(&request)?.audit(Some((Code::Unimplemented, text.to_owned())));
        Err(Status::unimplemented(text))
    }
}
