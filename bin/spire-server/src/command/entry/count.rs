//! `spire-server entry count` (SC-260).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::entry::v1::CountEntriesRequest;

use super::filter;
use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "entry count",
        usage_name: "entry count",
        synopsis: "Count registration entries",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    filter::flags(flags);
    flags.string("parentID", "", "The Parent ID of the records to count");
    flags.string("spiffeID", "", "The SPIFFE ID of the records to count");
    flags.string("hint", "", "The Hint of the records to count (optional)");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut entries = super::connect(&context)?;
    let request = CountEntriesRequest { filter: Some(filter::of_count(context.flags)?) };
    let answer = entries.count_entries(request).await.map_err(client::bare)?.into_inner();
    let noun = if answer.count == 1 { "entry" } else { "entries" };
    let text = format!("{} registration {noun}\n", answer.count);
    client::print_text(&mut context, "spire.api.server.entry.v1.CountEntriesResponse", &answer, &text)
}
