//! `spire-server agent count` (SC-270, SC-276).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::agent::v1::CountAgentsRequest;

use super::filter;
use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "agent count",
        usage_name: "agent count",
        synopsis: "Count attested agents",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    filter::flags(flags);
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut agents = super::connect(&context)?;
    let request = CountAgentsRequest { filter: Some(filter::of_count(context.flags)?) };
    let answer = agents.count_agents(request).await.map_err(client::bare)?.into_inner();
    let noun = if answer.count == 1 { "agent" } else { "agents" };
    let text = format!("{} attested {noun}\n", answer.count);
    client::print_text(&mut context, "spire.api.server.agent.v1.CountAgentsResponse", &answer, &text)
}
