//! Agents that ask what they may have: as fast as they can, then every 5 s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use spire_proto::server::bundle::v1 as bundle_api;
use spire_proto::server::bundle::v1::bundle_client::BundleClient;
use spire_proto::server::entry::v1 as entry_api;
use spire_proto::server::entry::v1::entry_client::EntryClient;
use spire_proto::types;
use tonic::transport::Channel;

use super::{Context, Measure};
use crate::cluster::Server;
use crate::fixture::{self, OWN};
use crate::{load, node, tls};

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    let sizes: &[(usize, usize)] =
        context.pick(&[(20, 1_000)], &[(50, 1_000), (500, 10_000), (500, 100_000), (5_000, 100_000)]);
    for &(agents, entries) in sizes {
        measures.extend(one(&context, agents, entries).await?);
    }
    Ok(measures)
}

async fn one(context: &Context, agents: usize, entries: usize) -> Result<Vec<Measure>> {
    let name = format!("{agents} agents, {entries} entries");
    let database = context.fixtures.database(agents, entries).await?;
    let server = Server::start_on(&context.build, &database).await?;
    let mut nodes = Vec::with_capacity(agents);
    for number in 0..agents {
        nodes.push(server.attested_node_of(&fixture::token(number)).await?);
    }
    let mut channels = Vec::with_capacity(agents);
    for (identity, _) in &nodes {
        channels.push(node::tls_channel(server.address, tls::client(Some(identity))?).await?);
    }
    let channels = Arc::new(channels);
    settle(&channels).await?;
    let mut measures = vec![Measure::less(
        format!("{name}: server memory"),
        "MiB",
        server.process.resident_kib()? as f64 / 1024.0,
    )];
    let length = context.pick(Duration::from_secs(2), Duration::from_secs(4));
    let all = channels.clone();
    let outcome = load::closed_loop(&server.process, 8, length, move |caller| {
        let all = all.clone();
        async move {
            let turn = spread(caller) % all.len();
            sync(all[turn].clone()).await.map(drop)
        }
    })
    .await?;
    measures.extend(outcome.measures(&format!("{name}, closed loop"), 1));
    measures.push(steady(&server, &channels, &name, context.pick(5, 10)).await?);
    measures.push(idle(&server, &name, context.pick(3, 8)).await?);
    Ok(measures)
}

/// A cheap spread over the agents; quality does not matter.
fn spread(caller: usize) -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(7919 + caller, Ordering::Relaxed)
}

async fn settle(channels: &[Channel]) -> Result<()> {
    let last = channels.last().context("there is at least one agent")?;
    for _ in 0..600 {
        if sync(last.clone()).await? >= OWN {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the entries did not reach the agents within 60 s")
}

/// One round of an agent: its entries, then the bundle.
pub async fn sync(channel: Channel) -> Result<usize> {
    let mask = types::EntryMask {
        spiffe_id: true,
        selectors: true,
        federates_with: true,
        admin: true,
        downstream: true,
        revision_number: true,
        store_svid: true,
        hint: true,
        created_at: true,
        additional_attributes: true,
        ..Default::default()
    };
    let first = entry_api::SyncAuthorizedEntriesRequest { output_mask: Some(mask), ids: Vec::new() };
    let mut entries = EntryClient::new(channel.clone());
    let mut pages = entries.sync_authorized_entries(tokio_stream::once(first)).await?.into_inner();
    let mut count = 0;
    while let Some(page) = pages.message().await? {
        count += page.entries.len() + page.entry_revisions.len();
    }
    BundleClient::new(channel).get_bundle(bundle_api::GetBundleRequest::default()).await?;
    Ok(count)
}

/// All agents poll every 5 s; the share of a core that it takes.
async fn steady(server: &Server, channels: &Arc<Vec<Channel>>, name: &str, seconds: u64) -> Result<Measure> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let before = server.process.cost()?;
    let count = channels.len();
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let channels = channels.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(5) * number as u32 / count as u32).await;
                while Instant::now() < until {
                    sync(channels[number].clone()).await?;
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    tokio::time::sleep_until(until.into()).await;
    let cores = server.process.since(before)?.as_secs_f64() / before.at.elapsed().as_secs_f64();
    for task in tasks {
        task.abort();
    }
    Ok(Measure::less(format!("{name}, each polls every 5 s"), "cores", cores))
}

async fn idle(server: &Server, name: &str, seconds: u64) -> Result<Measure> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = server.process.cost()?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let cores = server.process.since(before)?.as_secs_f64() / before.at.elapsed().as_secs_f64();
    Ok(Measure::less(format!("{name}, nobody calls"), "cores", cores))
}
