//! Entry created, changed, deleted on the server → update on an open stream.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use spire_proto::server::entry::v1 as entry_api;
use spire_proto::server::entry::v1::entry_client::EntryClient;
use spire_proto::workload::X509svidResponse;
use tokio::time::timeout;
use tonic::Streaming;

use super::fetch::open_stream;
use super::{Context, Measure};
use crate::cluster::{Agent, Server, entry_for};
use crate::load::{ms, percentile};
use crate::node;

/// Longer than any poll.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let server = Server::start(&context.build).await?;
    let agent = Agent::start(&context.build, &server).await?;
    let uid = [("unix", "uid:0".to_owned())];
    server.create_entries(vec![entry_for(&agent.path, "/always", &uid)]).await?;
    let mut stream = first_identity(&agent).await?;
    let mut client = EntryClient::new(server.local.clone());
    let (mut created, mut changed, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..context.pick(3, 12) {
        // Off the beat of any poll.
        tokio::time::sleep(Duration::from_millis(300 + number * 137 % 1000)).await;
        let path = format!("/made/{number}");
        let mut entry = entry_for(&agent.path, &path, &uid);
        let begun = Instant::now();
        entry.id = server.create_entries(vec![entry.clone()]).await?.remove(0);
        created
            .push(until(&mut stream, begun, |u| u.svids.iter().any(|s| s.spiffe_id.ends_with(&path))).await?);
        tokio::time::sleep(Duration::from_millis(200)).await;
        entry.hint = format!("hint-{number}");
        let begun = Instant::now();
        let request =
            entry_api::BatchUpdateEntryRequest { entries: vec![entry.clone()], ..Default::default() };
        client.batch_update_entry(request).await?;
        changed.push(until(&mut stream, begun, |u| u.svids.iter().any(|s| s.hint == entry.hint)).await?);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        client.batch_delete_entry(entry_api::BatchDeleteEntryRequest { ids: vec![entry.id] }).await?;
        deleted.push(
            until(&mut stream, begun, |u| !u.svids.iter().any(|s| s.spiffe_id.ends_with(&path))).await?,
        );
    }
    let mut measures = Vec::new();
    for (name, mut delays) in [("created", created), ("changed", changed), ("deleted", deleted)] {
        delays.sort_unstable();
        measures.push(Measure::less(format!("{name}: p50"), "ms", ms(percentile(&delays, 50))));
        measures.push(Measure::less(format!("{name}: p99"), "ms", ms(percentile(&delays, 99))));
    }
    Ok(measures)
}

async fn until(
    stream: &mut Streaming<X509svidResponse>,
    begun: Instant,
    arrived: impl Fn(&X509svidResponse) -> bool,
) -> Result<Duration> {
    loop {
        let update = timeout(PATIENCE, stream.message()).await.context("no update came")??;
        if arrived(&update.context("the stream ended")?) {
            return Ok(begun.elapsed());
        }
    }
}

/// Asks until the first entry has reached the agent.
pub async fn first_identity(agent: &Agent) -> Result<Streaming<X509svidResponse>> {
    let begun = Instant::now();
    loop {
        match timeout(PATIENCE, first_update(agent)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if begun.elapsed() > PATIENCE => return Err(error.context("no identity")),
            Err(_) => anyhow::bail!("no identity within {PATIENCE:?}"),
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn first_update(agent: &Agent) -> Result<Streaming<X509svidResponse>> {
    let mut stream = open_stream(node::uds(&agent.socket).await?).await?;
    stream.message().await?.context("the stream ended at once")?;
    Ok(stream)
}
