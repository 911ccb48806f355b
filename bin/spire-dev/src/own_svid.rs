//! Fetches the user's own SVID as any workload would, and checks it.

use std::path::Path;
use std::time::{Duration, Instant};

use spire_crypto::x509::{Certificate, Roots, verify_x509_svid};
use spire_net::channel;
use spire_proto::workload::X509svidRequest;
use spire_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use spire_types::SpiffeId;
use time::OffsetDateTime;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

/// The doorbell brings a new entry in milliseconds; a slow machine gets this long.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(20);

/// What the Workload API gave to this process.
#[derive(Debug)]
pub(crate) struct OwnSvid {
    pub id: SpiffeId,
    pub not_after: OffsetDateTime,
}

pub(crate) async fn fetch(socket: &Path) -> Result<OwnSvid, String> {
    let began = Instant::now();
    let mut client = SpiffeWorkloadApiClient::new(channel::uds(socket));
    loop {
        let mut request = Request::new(X509svidRequest::default());
        request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
        let outcome = match client.fetch_x509svid(request).await {
            Ok(mut stream) => stream.get_mut().message().await,
            Err(status) => Err(status),
        };
        match outcome {
            Ok(Some(answer)) => {
                let Some(svid) = answer.svids.first() else {
                    return Err("the Workload API answered without an SVID".to_owned());
                };
                return checked(&svid.x509_svid, &svid.bundle);
            }
            Ok(None) => return Err("the Workload API ended the stream without an answer".to_owned()),
            // The entry is on its way, or the agent is just starting.
            Err(status)
                if matches!(status.code(), Code::PermissionDenied | Code::Unavailable)
                    && began.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(RETRY).await;
            }
            Err(status) => return Err(format!("could not fetch an SVID: {}", status.message())),
        }
    }
}

fn checked(chain: &[u8], bundle: &[u8]) -> Result<OwnSvid, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the SVID of the Workload API is not good: {error}");
    let chain = Certificate::parse_many(chain).map_err(|error| failed(&error))?;
    let roots = Certificate::parse_many(bundle).and_then(Roots::new).map_err(|error| failed(&error))?;
    let now = OffsetDateTime::now_utc();
    let id = verify_x509_svid(&chain, |_| Some(roots.clone()), now).map_err(|error| failed(&error))?;
    let not_after = chain.first().map_or(now, Certificate::not_after);
    Ok(OwnSvid { id, not_after })
}
