//! `spire-server agent evict` (SC-278).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::agent::v1::DeleteAgentRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "agent evict",
        usage_name: "agent evict",
        synopsis: "Evicts an attested agent given its SPIFFE ID",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("spiffeID", "", "The SPIFFE ID of the agent to evict (agent identity)");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut agents = super::connect(&context)?;
    let request = DeleteAgentRequest { id: Some(super::named_agent(&context)?) };
    agents.delete_agent(request).await.map_err(client::bare)?;
    client::print_text(&mut context, "google.protobuf.Empty", &(), "Agent evicted successfully\n")
}
