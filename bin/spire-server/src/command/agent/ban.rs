//! `spire-server agent ban` (SC-278).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::agent::v1::BanAgentRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "agent ban",
        usage_name: "agent ban",
        synopsis: "Ban an attested agent given its SPIFFE ID",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("spiffeID", "", "The SPIFFE ID of the agent to ban (agent identity)");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut agents = super::connect(&context)?;
    let request = BanAgentRequest { id: Some(super::named_agent(&context)?) };
    agents.ban_agent(request).await.map_err(client::bare)?;
    client::print_text(&mut context, "google.protobuf.Empty", &(), "Agent banned successfully\n")
}
