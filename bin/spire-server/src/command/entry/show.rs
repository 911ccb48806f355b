//! `spire-server entry show` (SC-256 to SC-259).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome, go_text};
use spire_proto::server::entry::v1::entry_client::EntryClient;
use spire_proto::server::entry::v1::{GetEntryRequest, ListEntriesRequest, ListEntriesResponse};
use spire_proto::types::Entry;
use tonic::transport::Channel;

use super::text::block;
use super::{filter, order};
use crate::command::client;

/// Entries may be big; so many of them fit into a gRPC message.
const PAGE: i32 = 500;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "entry show",
        usage_name: "entry show",
        synopsis: "Displays configured registration entries",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    filter::flags(flags);
    flags.string("entryID", "", "The Entry ID of the records to show");
    flags.string("parentID", "", "The Parent ID of the records to show");
    flags.string("spiffeID", "", "The SPIFFE ID of the records to show");
    flags.string("hint", "", "The Hint of the records to show (optional)");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let mut entries = match context.flags.text("entryID") {
        "" => list(&mut client, context.flags).await?,
        id => vec![one(&mut client, context.flags, id).await?],
    };
    order::sort(&mut entries);
    let answer = ListEntriesResponse { entries, next_page_token: String::new() };
    client::print(&mut context, "spire.api.server.entry.v1.ListEntriesResponse", &answer, |env| {
        let count = go_text::count(answer.entries.len(), "entry", "entries");
        env.out(&format!("Found {count}\n"));
        answer.entries.iter().for_each(|entry| env.out(&block(entry)));
        Ok(())
    })
}

async fn one(client: &mut EntryClient<Channel>, flags: &FlagSet, id: &str) -> Result<Entry, String> {
    let others = ["parentID", "spiffeID"].iter().any(|flag| !flags.text(flag).is_empty());
    if others || !flags.texts("selector").is_empty() {
        return Err("the -entryID flag can't be combined with others".to_owned());
    }
    let request = GetEntryRequest { id: id.to_owned(), output_mask: None };
    match client.get_entry(request).await {
        Ok(entry) => Ok(entry.into_inner()),
        Err(status) => Err(format!("error fetching entry ID {id}: {}", client::bare(status))),
    }
}

async fn list(client: &mut EntryClient<Channel>, flags: &FlagSet) -> Result<Vec<Entry>, String> {
    let mut request = ListEntriesRequest {
        filter: Some(filter::of_list(flags)?),
        page_size: PAGE,
        ..ListEntriesRequest::default()
    };
    let mut entries = Vec::new();
    loop {
        let page = client.list_entries(request.clone()).await;
        let page = page.map_err(client::failed("error fetching entries"))?.into_inner();
        entries.extend(page.entries);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(entries);
        }
    }
}
