//! `spire-server bundle count` (SC-297).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_proto::server::bundle::v1::CountBundlesRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "bundle count",
        usage_name: "bundle count",
        synopsis: "Count bundles",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut bundles = super::connect(&context)?;
    let answer = bundles.count_bundles(CountBundlesRequest {}).await.map_err(client::bare)?.into_inner();
    let noun = if answer.count == 1 { "bundle" } else { "bundles" };
    let text = format!("{} {noun}\n", answer.count);
    client::print_text(&mut context, "spire.api.server.bundle.v1.CountBundlesResponse", &answer, &text)
}
