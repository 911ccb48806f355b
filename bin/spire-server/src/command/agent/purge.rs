//! `spire-server agent purge` (SC-279, SC-280).

use serde::Serialize;
use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Format, Outcome, escape_html, go_text};
use spire_config::duration::GoDuration;
use spire_proto::convert::id;
use spire_proto::server::agent::v1::agent_client::AgentClient;
use spire_proto::server::agent::v1::{DeleteAgentRequest, ListAgentsRequest, list_agents_request};
use spire_proto::types::{Agent, AgentMask};
use spire_runtime::SystemClock;
use tonic::transport::Channel;

use crate::command::client;

const THIRTY_DAYS: GoDuration = GoDuration::from_secs(30 * 24 * 3600);
const NANOS: i128 = 1_000_000_000;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "agent purge",
        usage_name: "agent purge",
        synopsis: "Purge expired agents that were attested using a non-TOFU security model based on a given time",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.duration(
        "expiredFor",
        THIRTY_DAYS,
        "Amount of time that has passed since the agent's SVID has expired. It is used to determine which agents to \
         purge.",
    );
    flags.bool(
        "dryRun",
        "Indicates that the command will not perform any action, but will print the agents that would be purged.",
    );
}

/// The answer; its JSON keeps this order of members (SC-229).
#[derive(Default, Serialize)]
struct Purge {
    expired_agents: Vec<Purged>,
}

#[derive(Serialize)]
struct Purged {
    agent_id: String,
    deleted: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

async fn run(context: Context<'_>) -> Outcome {
    let mut agents = super::connect(&context)?;
    let (window, dry) = (context.flags.time("expiredFor"), context.flags.is("dryRun"));
    let clock = SystemClock::shared();
    let mut purge = Purge::default();
    for agent in reattestable(&mut agents).await? {
        let agent_id = id::spiffe_id(agent.id.as_ref()).map_err(|error| error.to_string())?.to_string();
        let expired_for = clock.now().unix_timestamp_nanos() - i128::from(agent.x509svid_expires_at) * NANOS;
        if expired_for <= i128::from(window.0) {
            continue;
        }
        let mut purged = Purged { agent_id, deleted: false, error: String::new() };
        if !dry {
            match agents.delete_agent(DeleteAgentRequest { id: agent.id }).await {
                Ok(_) => purged.deleted = true,
                Err(status) => purged.error = client::bare(status),
            }
        }
        purge.expired_agents.push(purged);
    }
    match context.flags.format() {
        Format::Json => {
            let json = serde_json::to_string(&purge).map_err(|error| error.to_string())?;
            context.env.out(&format!("{}\n", escape_html(&json)));
        }
        Format::Pretty => pretty(&purge.expired_agents, dry, context.env),
    }
    Ok(())
}

/// Agents that cannot come back by themselves are never purged.
async fn reattestable(agents: &mut AgentClient<Channel>) -> Result<Vec<Agent>, String> {
    let filter =
        list_agents_request::Filter { by_can_reattest: Some(true), ..list_agents_request::Filter::default() };
    let mask = AgentMask { x509svid_expires_at: true, ..AgentMask::default() };
    let request =
        ListAgentsRequest { filter: Some(filter), output_mask: Some(mask), ..ListAgentsRequest::default() };
    let answer = agents.list_agents(request).await.map_err(client::failed("failed to list agents"))?;
    Ok(answer.into_inner().agents)
}

fn pretty(expired: &[Purged], dry: bool, env: &mut Env) {
    if expired.is_empty() {
        env.out("No agents to purge.\n");
        return;
    }
    let count = go_text::count(expired.len(), "expired agent", "expired agents");
    env.out(&format!("Found {count}\n\n"));
    if dry {
        env.out("\nAgents that can be purged:\n");
        expired.iter().for_each(|agent| env.out(&id_line(agent)));
        return;
    }
    let (gone, left): (Vec<_>, Vec<_>) = expired.iter().partition(|agent| agent.deleted);
    if !gone.is_empty() {
        env.out("Agents purged:\n");
        gone.iter().for_each(|agent| env.out(&id_line(agent)));
    }
    if !left.is_empty() {
        env.out("Agents not purged:\n");
        for agent in left {
            env.out(&format!("{}Error             : {}\n", id_line(agent), agent.error));
        }
    }
}

fn id_line(agent: &Purged) -> String {
    format!("SPIFFE ID         : {}\n", agent.agent_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_the_order_and_leaves_out_errors_that_did_not_happen() {
        // SC-280
        let agents = ["", "rpc"].map(|error| Purged {
            agent_id: "spiffe://td/a".into(),
            deleted: error.is_empty(),
            error: error.into(),
        });
        assert_eq!(
            serde_json::to_string(&Purge { expired_agents: agents.into() }).unwrap(),
            "{\"expired_agents\":[{\"agent_id\":\"spiffe://td/a\",\"deleted\":true},\
             {\"agent_id\":\"spiffe://td/a\",\"deleted\":false,\"error\":\"rpc\"}]}"
        );
    }
}
