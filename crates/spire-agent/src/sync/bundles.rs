//! The bundles that the agent's entries need (AG-320, AG-321).

use std::collections::BTreeSet;

use futures::StreamExt;
use spire_proto::convert::bundle::bundle_from_peer;
use spire_proto::server::bundle::v1::bundle_client::BundleClient;
use spire_proto::server::bundle::v1::{GetBundleRequest, GetFederatedBundleRequest};
use spire_proto::types;
use spire_types::{Bundle, TrustDomain};
use tonic::Code;
use tonic::transport::Channel;

use crate::fault::{Fault, log_rpc_error};
use crate::link::MAX_MESSAGE;

const AT_ONCE: usize = 10;

/// The own bundle and those of `federated`; what the server does not have is left out.
pub(super) async fn fetch(channel: Channel, federated: BTreeSet<TrustDomain>) -> Result<Vec<Bundle>, Fault> {
    let client = BundleClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let own = client.clone().get_bundle(GetBundleRequest::default()).await.map_err(|status| {
        log_rpc_error("Failed to fetch bundle", &status);
        Fault::rpc(&status).context("failed to fetch bundle")
    })?;
    let mut bundles: Vec<Bundle> = read(&own.into_inner()).into_iter().collect();
    let fetched: Vec<_> = futures::stream::iter(federated)
        .map(|trust_domain| fetch_federated(client.clone(), trust_domain))
        .buffered(AT_ONCE)
        .collect()
        .await;
    for outcome in fetched {
        bundles.extend(outcome?.as_ref().and_then(read));
    }
    Ok(bundles)
}

async fn fetch_federated(
    mut client: BundleClient<Channel>,
    trust_domain: TrustDomain,
) -> Result<Option<types::Bundle>, Fault> {
    let name = trust_domain.as_str();
    let request = GetFederatedBundleRequest { trust_domain: name.to_owned(), output_mask: None };
    match client.get_federated_bundle(request).await {
        Ok(response) => Ok(Some(response.into_inner())),
        Err(status) if status.code() == Code::NotFound => {
            tracing::warn!(
                error = spire_net::rpc_error_text(&status),
                federated_bundle = name,
                subsystem_name = "manager",
                "Federated bundle not found"
            );
            Ok(None)
        }
        Err(status) => {
            tracing::error!(
                error = spire_net::rpc_error_text(&status),
                federated_bundle = name,
                subsystem_name = "manager",
                "Failed to fetch federated bundle"
            );
            Err(Fault::rpc(&status).context("failed to fetch federated bundle"))
        }
    }
}

fn read(wire: &types::Bundle) -> Option<Bundle> {
    match bundle_from_peer(wire) {
        Ok(bundle) => Some(bundle),
        Err(error) => {
            tracing::warn!(
                error = %error,
                subsystem_name = "manager",
                "Received malformed bundle from SPIRE server; are the server and agent versions compatible?"
            );
            None
        }
    }
}
