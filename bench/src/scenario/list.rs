//! ListEntries by SPIFFE ID, by parent and by selector among many.

use std::time::Duration;

use anyhow::Result;
use spire_proto::server::entry::v1 as entry_api;
use spire_proto::server::entry::v1::entry_client::EntryClient;
use spire_proto::server::entry::v1::list_entries_request::Filter;
use spire_proto::types;

use super::{Context, Measure};
use crate::cluster::{Server, TRUST_DOMAIN, entry};
use crate::fixture::OWN;
use crate::load;

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    let sizes: &[usize] = context.pick(&[1_000], &[5_000, 100_000]);
    for &size in sizes {
        let database = context.fixtures.database(0, size).await?;
        let server = Server::start_on(&context.build, &database).await?;
        for (name, filter) in filters(size / 2) {
            let channel = server.local.clone();
            let length = context.pick(Duration::from_secs(1), Duration::from_secs(2));
            let outcome = load::closed_loop(&server.process, 2, length, move |_| {
                let request =
                    entry_api::ListEntriesRequest { filter: Some(filter.clone()), ..Default::default() };
                let mut client = EntryClient::new(channel.clone());
                async move {
                    let found = client.list_entries(request).await?.into_inner().entries.len();
                    anyhow::ensure!(found > 0, "nothing was found");
                    Ok(())
                }
            })
            .await?;
            measures.extend(outcome.measures(&format!("{name} among {size}"), 1));
        }
    }
    Ok(measures)
}

fn filters(number: usize) -> [(&'static str, Filter); 3] {
    let wanted = entry("/unused", number);
    let parent = types::Spiffeid {
        trust_domain: TRUST_DOMAIN.into(),
        path: format!("/spire/agent/other/{}", number / OWN),
    };
    let selectors = types::SelectorMatch {
        selectors: wanted.selectors.clone(),
        r#match: types::selector_match::MatchBehavior::MatchExact.into(),
    };
    [
        ("by SPIFFE ID", Filter { by_spiffe_id: wanted.spiffe_id, ..Default::default() }),
        ("by parent", Filter { by_parent_id: Some(parent), ..Default::default() }),
        ("by selectors", Filter { by_selectors: Some(selectors), ..Default::default() }),
    ]
}
