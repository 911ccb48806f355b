//! One agent with 1,000 entries asks for SVIDs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use spire_proto::server::svid::v1 as svid_api;
use spire_proto::server::svid::v1::svid_client::SvidClient;
use tonic::transport::Channel;

use super::{Context, Measure};
use crate::cluster::{Server, entry};
use crate::{load, node, tls};

struct Setup {
    server: Server,
    channel: Channel,
    ids: Arc<Vec<String>>,
    csr: Vec<u8>,
}

async fn set_up(context: &Context) -> Result<Setup> {
    let server = Server::start(&context.build).await?;
    let (identity, path) = server.attested_node().await?;
    let ids = server.create_entries((0..1000).map(|n| entry(&path, n)).collect()).await?;
    let channel = node::tls_channel(server.address, tls::client(Some(&identity))?).await?;
    let (_, csr) = node::csr(Some("spiffe://bench.test/x"))?;
    wait_until_authorized(&channel, &ids, &csr).await?;
    Ok(Setup { server, channel, ids: Arc::new(ids), csr })
}

/// A server may need a reload before it hands out what was just created.
async fn wait_until_authorized(channel: &Channel, ids: &[String], csr: &[u8]) -> Result<()> {
    for _ in 0..300 {
        let last = ids.last().cloned().unwrap_or_default();
        let response = batch(channel.clone(), vec![last], csr.to_vec()).await;
        if response.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the entries did not become authorized within 30 s")
}

async fn batch(channel: Channel, ids: Vec<String>, csr: Vec<u8>) -> Result<()> {
    let csr = prost::bytes::Bytes::from(csr);
    let params =
        ids.into_iter().map(|entry_id| svid_api::NewX509svidParams { entry_id, csr: csr.clone() }).collect();
    let request = svid_api::BatchNewX509svidRequest { params };
    let response = SvidClient::new(channel).batch_new_x509svid(request).await?.into_inner();
    ensure!(response.results.iter().all(|r| r.svid.is_some()), "an SVID was refused");
    Ok(())
}

pub async fn x509(context: Context) -> Result<Vec<Measure>> {
    let setup = set_up(&context).await?;
    let length = context.pick(Duration::from_secs(2), Duration::from_secs(6));
    let mut measures = Vec::new();
    for (name, size, callers) in [("batch of 50", 50, 4), ("one by one", 1, 8)] {
        let (channel, ids, csr) = (setup.channel.clone(), setup.ids.clone(), setup.csr.clone());
        let outcome = load::closed_loop(&setup.server.process, callers, length, move |caller| {
            let begin = caller * size % ids.len();
            let wanted = ids.iter().cycle().skip(begin).take(size).cloned().collect();
            batch(channel.clone(), wanted, csr.clone())
        })
        .await?;
        measures.extend(outcome.measures(name, size as u64));
    }
    Ok(measures)
}

pub async fn jwt(context: Context) -> Result<Vec<Measure>> {
    let setup = set_up(&context).await?;
    let length = context.pick(Duration::from_secs(2), Duration::from_secs(6));
    let (channel, ids) = (setup.channel.clone(), setup.ids.clone());
    let outcome = load::closed_loop(&setup.server.process, 8, length, move |caller| {
        let request = svid_api::NewJwtsvidRequest {
            entry_id: ids[caller % ids.len()].clone(),
            audience: vec!["bench".into()],
        };
        let channel = channel.clone();
        async move {
            let response = SvidClient::new(channel).new_jwtsvid(request).await?.into_inner();
            ensure!(response.svid.is_some(), "a JWT-SVID was refused");
            Ok(())
        }
    })
    .await?;
    Ok(outcome.measures("sign", 1))
}
