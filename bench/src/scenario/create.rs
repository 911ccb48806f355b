//! New entries, in batches and one by one, on the embedded database.

use anyhow::{Result, ensure};
use spire_proto::server::entry::v1 as entry_api;
use spire_proto::server::entry::v1::entry_client::EntryClient;

use super::{Context, Measure};
use crate::cluster::{Server, entry};
use crate::load;

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    for (name, size, callers, total) in [
        ("SQLite, batch of 50", 50u64, 4, context.pick(20, 200)),
        ("SQLite, one by one", 1, 8, context.pick(200, 2000)),
    ] {
        let server = Server::start(&context.build).await?;
        let channel = server.local.clone();
        let outcome = load::fixed(&server.process, callers, total, move |number| {
            let mut client = EntryClient::new(channel.clone());
            let entries =
                (0..size).map(|n| entry("/spire/agent/bench", (number * size + n) as usize)).collect();
            async move {
                let request = entry_api::BatchCreateEntryRequest { entries, output_mask: None };
                let response = client.batch_create_entry(request).await?.into_inner();
                let refused = response.results.iter().find_map(|r| r.status.as_ref().filter(|s| s.code != 0));
                ensure!(refused.is_none(), "an entry was refused: {refused:?}");
                Ok(())
            }
        })
        .await?;
        measures.extend(outcome.measures(name, size));
    }
    Ok(measures)
}
