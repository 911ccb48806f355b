use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use spire_proto::doorbell::v1::doorbell_server::Doorbell;
use spire_proto::doorbell::v1::{ListenRequest, Ring};
use tonic::{Code, Request, Response, Status};

use crate::access::Call;
use crate::core::Core;
use crate::status::ApiError;

/// `spirers.doorbell.v1.Doorbell`: a hint that a pull would bring something
/// new (architecture A5). It carries no data.
#[derive(Debug, Clone)]
pub struct DoorbellApi(pub Arc<Core>);

#[tonic::async_trait]
impl Doorbell for DoorbellApi {
    type ListenStream = Pin<Box<dyn Stream<Item = Result<Ring, Status>> + Send>>;

    async fn listen(&self, request: Request<ListenRequest>) -> Result<Response<Self::ListenStream>, Status> {
        let call = Call::of(&request)?;
        let Some(agent) = call.caller().id.clone() else {
            return call
                .conclude(Err(ApiError::new(Code::Internal, "caller ID missing from request context")));
        };
        let stop = self.0.shutdown.clone();
        let listening = (self.0.entries.listen(&agent), stop);
        let rings = futures::stream::unfold(listening, |(mut bell, stop)| async move {
            let ring = stop.unless_cancelled(bell.next()).await?;
            Some((Ok(Ring { entries: ring.entries, bundles: ring.bundles }), (bell, stop)))
        });
        call.conclude(Ok(Box::pin(rings) as Self::ListenStream))
    }
}
