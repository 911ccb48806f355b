//! `spire-server agent list` (SC-270, SC-274).

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, LocalZone, Outcome, go_text};
use spire_proto::server::agent::v1::{ListAgentsRequest, ListAgentsResponse};

use super::filter;
use crate::command::client;

/// A page of so many agents stays below what a gRPC message may have.
const PAGE: i32 = 1000;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "agent list",
        usage_name: "agent list",
        synopsis: "Lists attested agents and their SPIFFE IDs",
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
    let mut client = super::connect(&context)?;
    let mut request = ListAgentsRequest {
        filter: Some(filter::of_list(context.flags)?),
        page_size: PAGE,
        ..ListAgentsRequest::default()
    };
    let mut all = ListAgentsResponse::default();
    loop {
        let page = client.list_agents(request.clone()).await.map_err(client::bare)?.into_inner();
        all.agents.extend(page.agents);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    client::print(&mut context, "spire.api.server.agent.v1.ListAgentsResponse", &all, |env| pretty(&all, env))
}

fn pretty(all: &ListAgentsResponse, env: &mut Env) -> Outcome {
    if all.agents.is_empty() {
        env.out("No attested agents found\n");
        return Ok(());
    }
    let zone = LocalZone::find(&*env.variable);
    let count = go_text::count(all.agents.len(), "attested agent", "attested agents");
    env.out(&format!("Found {count}:\n\n"));
    for agent in &all.agents {
        env.out(&super::block(agent, &zone)?);
    }
    Ok(())
}
