//! Join-token attestations, eight at a time, each on a new TLS connection.

use std::sync::Arc;

use anyhow::Result;

use super::{Context, Measure};
use crate::cluster::Server;
use crate::{load, node};

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let server = Server::start(&context.build).await?;
    let total = context.pick(100, 4000);
    let mut tokens = Vec::new();
    for _ in 0..total {
        tokens.push(server.join_token().await?);
    }
    let (key, csr) = node::csr(None)?;
    let (tokens, key, csr, address) = (Arc::new(tokens), Arc::new(key), Arc::new(csr), server.address);
    let outcome = load::fixed(&server.process, 8, total as u64, move |number| {
        let (tokens, key, csr) = (tokens.clone(), key.clone(), csr.clone());
        async move {
            node::attest(address, &tokens[number as usize], &key, &csr).await?;
            Ok(())
        }
    })
    .await?;
    Ok(outcome.measures("attest", 1))
}
