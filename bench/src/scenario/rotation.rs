//! A CA rotation under 500 agents that poll as agents do, and listen to the doorbell of a server that has one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use spire_proto::doorbell::v1::doorbell_client::DoorbellClient;
use spire_proto::doorbell::v1::{ListenRequest, Ring};
use spire_proto::server::bundle::v1 as bundle_api;
use spire_proto::server::bundle::v1::bundle_client::BundleClient;
use spire_proto::server::localauthority::v1 as authority_api;
use spire_proto::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::transport::Channel;

use super::sync::sync;
use super::{Context, Measure};
use crate::cluster::{Server, entry};
use crate::{node, tls};

/// The interval of an agent of either kind.
const POLL: Duration = Duration::from_secs(5);

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let server = Server::start(&context.build).await?;
    let agents = context.pick(20, 500);
    let mut channels = Vec::new();
    for number in 0..agents {
        let (identity, path) = server.attested_node().await?;
        server.create_entries(vec![entry(&path, number)]).await?;
        channels.push(node::tls_channel(server.address, tls::client(Some(&identity))?).await?);
    }
    let known: Arc<HashSet<Vec<u8>>> = Arc::new(roots(&server.local).await?.into_iter().collect());
    let failed = Arc::new(AtomicU64::new(0));
    let (seen, mut sightings) = mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for (number, channel) in channels.into_iter().enumerate() {
        let (known, failed, seen) = (known.clone(), failed.clone(), seen.clone());
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(POLL * number as u32 / agents as u32).await;
            let mut doorbell = listen(channel.clone()).await;
            let mut reported = false;
            loop {
                if sync(channel.clone()).await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                match roots(&channel).await {
                    Ok(roots) if !reported && roots.iter().any(|root| !known.contains(root)) => {
                        reported = true;
                        let _ = seen.send(());
                    }
                    Ok(_) => {}
                    Err(_) => {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
                wait(&mut doorbell).await;
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let begun = Instant::now();
    let cost = server.process.cost()?;
    let mut authorities = LocalAuthorityClient::new(server.local.clone());
    let prepared =
        authorities.prepare_x509_authority(authority_api::PrepareX509AuthorityRequest {}).await?.into_inner();
    for _ in 0..agents {
        tokio::time::timeout(Duration::from_secs(60), sightings.recv())
            .await
            .context("the root did not reach all")?;
    }
    let reached = begun.elapsed();
    let authority_id = prepared.prepared_authority.context("nothing was prepared")?.authority_id;
    authorities.activate_x509_authority(authority_api::ActivateX509AuthorityRequest { authority_id }).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let cpu = server.process.since(cost)?;
    for task in tasks {
        task.abort();
    }
    Ok(vec![
        Measure::less("until all hold the new root", "s", reached.as_secs_f64()),
        Measure::less("failed calls", "", failed.load(Ordering::Relaxed) as f64),
        Measure::less("server CPU", "s", cpu.as_secs_f64()),
    ])
}

/// Rings if the server has a doorbell; SPIRE has none.
async fn listen(channel: Channel) -> Option<Streaming<Ring>> {
    DoorbellClient::new(channel).listen(ListenRequest::default()).await.ok().map(tonic::Response::into_inner)
}

/// Until the next poll is due or the doorbell rings.
async fn wait(doorbell: &mut Option<Streaming<Ring>>) {
    let ring = async {
        match doorbell {
            Some(rings) => rings.message().await.ok().flatten(),
            None => std::future::pending().await,
        }
    };
    if let Ok(None) = tokio::time::timeout(POLL, ring).await {
        *doorbell = None;
    }
}

async fn roots(channel: &Channel) -> Result<Vec<Vec<u8>>> {
    let bundle = BundleClient::new(channel.clone())
        .get_bundle(bundle_api::GetBundleRequest::default())
        .await?
        .into_inner();
    Ok(bundle.x509_authorities.into_iter().map(|a| a.asn1.to_vec()).collect())
}
