//! Workloads that fetch: on a kept connection, on a new one each, JWTs from cache.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spire_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use spire_proto::workload::{JwtsvidRequest, X509svidRequest, X509svidResponse};
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use super::propagate::first_identity;
use super::{Context, Measure};
use crate::cluster::{Agent, Server, entry_for};
use crate::{load, node};

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let server = Server::start(&context.build).await?;
    let agent = Agent::start(&context.build, &server).await?;
    server.create_entries(vec![entry_for(&agent.path, "/workload", &[("unix", "uid:0".to_owned())])]).await?;
    drop(first_identity(&agent).await?);
    let length = context.pick(Duration::from_secs(2), Duration::from_secs(5));
    let mut measures = Vec::new();

    let mut kept = Vec::new();
    for _ in 0..16 {
        kept.push(node::uds(&agent.socket).await?);
    }
    let kept = Arc::new(kept);
    let connections = kept.clone();
    let outcome =
        load::closed_loop(&agent.process, 16, length, move |caller| fetch(connections[caller].clone()))
            .await?;
    measures.extend(outcome.measures("X.509, kept connection", 1));

    let socket = agent.socket.clone();
    let outcome = load::closed_loop(&agent.process, 8, length, move |_| {
        let socket = socket.clone();
        async move { fetch(node::uds(&socket).await?).await }
    })
    .await?;
    measures.extend(outcome.measures("X.509, new connection", 1));

    let outcome = load::closed_loop(&agent.process, 16, length, move |caller| {
        let channel = kept[caller].clone();
        async move {
            let request = JwtsvidRequest { audience: vec!["bench".into()], spiffe_id: String::new() };
            SpiffeWorkloadApiClient::new(channel).fetch_jwtsvid(with_header(request)).await?;
            Ok(())
        }
    })
    .await?;
    measures.extend(outcome.measures("JWT from cache", 1));
    Ok(measures)
}

async fn fetch(channel: Channel) -> Result<()> {
    open_stream(channel).await?.message().await?.context("the stream ended at once")?;
    Ok(())
}

pub async fn open_stream(channel: Channel) -> Result<Streaming<X509svidResponse>> {
    let request = with_header(X509svidRequest {});
    Ok(SpiffeWorkloadApiClient::new(channel).fetch_x509svid(request).await?.into_inner())
}

/// SPIFFE Workload Endpoint section 5.
pub fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", tonic::metadata::MetadataValue::from_static("true"));
    request
}
