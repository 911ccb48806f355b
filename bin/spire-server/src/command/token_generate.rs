//! `spire-server token generate` (SC-300).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::agent::v1::CreateJoinTokenRequest;
use spire_proto::server::agent::v1::agent_client::AgentClient;

use super::{arguments, client};

pub(super) fn command() -> Command {
    Command {
        path: "token generate",
        // The only usage text without the name of the group (SC-211).
        usage_name: "generate",
        synopsis: "Generates a join token",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.int("ttl", 600, "Token TTL in seconds");
    flags.string("spiffeID", "", "Additional SPIFFE ID to assign the token owner (optional)");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = AgentClient::new(client::connect(&context)?);
    let agent_id = match context.flags.text("spiffeID") {
        "" => None,
        id => Some(arguments::spiffe_id(id)?),
    };
    let ttl = arguments::int32(context.flags.number("ttl"));
    let ttl = ttl.map_err(|error| format!("invalid value for TTL: {error}"))?;
    // On standard output, below the token: scripts read the first line.
    let warning = if agent_id.is_none() { "Warning: Missing SPIFFE ID.\n" } else { "" };
    let request = CreateJoinTokenRequest { ttl, token: String::new(), agent_id };
    let token = client.create_join_token(request).await.map_err(client::bare)?.into_inner();
    let text = format!("Token: {}\n{warning}", token.value);
    client::print_text(&mut context, "spire.api.types.JoinToken", &token, &text)
}
