//! Listens for the server's hint that a pull would bring something new (A5). Nothing depends on it: a server of
//! SPIRE's does not know it, and the timer pulls.

use std::sync::Arc;
use std::time::Duration;

use spire_proto::doorbell::v1::ListenRequest;
use spire_proto::doorbell::v1::doorbell_client::DoorbellClient;
use spire_runtime::{Backoff, BackoffOptions, Nudge, SharedClock, SharedRandom, Shutdown};
use tonic::{Code, Status};

use crate::link::ServerLink;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// The server may be upgraded one day.
const UNKNOWN_RETRY: Duration = Duration::from_secs(600);

/// Nudges at each ring, until `shutdown`.
pub async fn listen(
    link: Arc<ServerLink>,
    rings: Nudge,
    clock: SharedClock,
    random: SharedRandom,
    shutdown: Shutdown,
) {
    let options = BackoffOptions { max_interval: Some(LAST_RETRY), ..BackoffOptions::default() };
    let mut backoff = Backoff::with(FIRST_RETRY, options, clock.clone(), random);
    let mut changes = link.changes();
    while !shutdown.is_cancelled() {
        changes.mark_unchanged();
        let mut rang = false;
        let ended = tokio::select! {
            ended = follow(&link, &rings, &mut rang) => Some(ended),
            // The connection is dead, or belongs to an SVID that is not ours any more.
            _ = changes.changed() => None,
            () = shutdown.cancelled() => return,
        };
        if rang {
            backoff.reset();
        }
        let wait = match &ended {
            None => continue,
            Some(status) if status.code() == Code::Unimplemented => UNKNOWN_RETRY,
            Some(_) => backoff.next().unwrap_or(LAST_RETRY),
        };
        if let Some(status) = &ended {
            let error = spire_net::rpc_error_text(status);
            tracing::debug!(error, subsystem_name = "manager", "Not listening to the doorbell of the server");
        }
        tokio::select! {
            () = clock.sleep(wait) => {}
            _ = changes.changed() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Until the stream ends, for whatever reason.
async fn follow(link: &ServerLink, rings: &Nudge, rang: &mut bool) -> Status {
    let listening = async {
        let channel = link.stream_channel().await?;
        let mut stream = DoorbellClient::new(channel).listen(ListenRequest {}).await?.into_inner();
        while stream.message().await?.is_some() {
            *rang = true;
            rings.nudge();
        }
        Err::<(), Status>(Status::unavailable("the server ended the stream"))
    };
    listening.await.err().unwrap_or_else(|| Status::unknown(""))
}
