//! `spire-agent api …`: what a workload sees (AG-168 to AG-179).

pub(super) mod fetch_jwt;
pub(super) mod fetch_x509;
mod identity;
mod listing;
pub(super) mod validate_jwt;
pub(super) mod watch;
mod write;

use std::time::{Duration, Instant};

use spire_cli::{Context, FlagSet};
use spire_config::duration::GoDuration;
use spire_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::sockets;

const SOCKET_USAGE: &str = "Path to the SPIRE Agent API Unix domain socket";
/// Proves to the agent that the caller was not tricked into calling (AG-168).
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// The flags of all commands that call once.
fn call_flags(flags: &mut FlagSet) {
    flags.without_help_ending();
    flags.plain_duration("timeout", GoDuration::from_secs(5), "Time to wait for a response");
    sockets::public_flags(flags, SOCKET_USAGE);
}

/// The Workload API of the chosen socket, and the time that each call has.
#[derive(Clone)]
struct WorkloadApi {
    client: SpiffeWorkloadApiClient<Channel>,
    limit: Duration,
}

impl WorkloadApi {
    fn of(context: &Context<'_>) -> Result<Self, String> {
        let client = SpiffeWorkloadApiClient::new(sockets::public(context)?);
        Ok(Self { client, limit: context.flags.time("timeout").to_std() })
    }

    /// Gives a call the time of `-timeout`; zero and less are no limit.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        if self.limit.is_zero() {
            return call.await;
        }
        let begun = Instant::now();
        match tokio::time::timeout(self.limit, call).await {
            // The timer has milliseconds, the limit may be less.
            Ok(answer) if begun.elapsed() < self.limit => answer,
            _ => Err(Status::deadline_exceeded("context deadline exceeded")),
        }
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(SECURITY_HEADER, MetadataValue::from_static("true"));
    request
}

/// A stream that ended without the message that was waited for; Go's name for it.
const END_OF_STREAM: &str = "EOF";

#[cfg(test)]
mod tests {
    use spire_net::channel;

    use super::*;

    #[tokio::test]
    async fn the_shortest_limit_is_one() {
        // AG-168
        let client = SpiffeWorkloadApiClient::new(channel::uds(std::path::Path::new("/nonexistent")));
        let api = WorkloadApi { client, limit: Duration::from_nanos(1) };
        let late = api.in_time(async { Ok(()) }).await.unwrap_err();
        assert_eq!(late.message(), "context deadline exceeded");
        let unlimited = WorkloadApi { limit: Duration::ZERO, ..api };
        unlimited.in_time(async { Ok(()) }).await.unwrap();
    }
}
