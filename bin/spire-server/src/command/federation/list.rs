//! `spire-server federation list` (SC-316).

use spire_cli::{Command, Context, ErrorStyle, Outcome, go_text};
use spire_proto::server::trustdomain::v1::ListFederationRelationshipsRequest;

use super::text::block;
use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "federation list",
        usage_name: "federation list",
        synopsis: "Lists all dynamic federation relationships",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let answer = client.list_federation_relationships(ListFederationRelationshipsRequest::default()).await;
    let answer = answer.map_err(client::failed("error listing federation relationship"))?.into_inner();
    let all = &answer.federation_relationships;
    let count = go_text::count(all.len(), "federation relationship", "federation relationships");
    let mut text = format!("Found {count}\n");
    for relationship in all {
        text.push('\n');
        text.push_str(&block(relationship));
    }
    client::print_text(
        &mut context,
        "spire.api.server.trustdomain.v1.ListFederationRelationshipsResponse",
        &answer,
        &text,
    )
}
