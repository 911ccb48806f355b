//! `spire-server agent show` (SC-277).

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, LocalZone, Outcome};
use spire_proto::server::agent::v1::GetAgentRequest;
use spire_proto::types::Agent;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "agent show",
        usage_name: "agent show",
        synopsis: "Shows the details of an attested agent given its SPIFFE ID",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("spiffeID", "", "The SPIFFE ID of the agent to show (agent identity)");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut agents = super::connect(&context)?;
    let request = GetAgentRequest { id: Some(super::named_agent(&context)?), output_mask: None };
    let agent = agents.get_agent(request).await.map_err(client::bare)?.into_inner();
    client::print(&mut context, "spire.api.types.Agent", &agent, |env| pretty(&agent, env))
}

fn pretty(agent: &Agent, env: &mut Env) -> Outcome {
    env.out("Found an attested agent given its SPIFFE ID\n\n");
    env.out(&super::block(agent, &LocalZone::find(&*env.variable))?);
    for selector in &agent.selectors {
        env.out(&format!("Selectors         : {}:{}\n", selector.r#type, selector.value));
    }
    Ok(())
}
