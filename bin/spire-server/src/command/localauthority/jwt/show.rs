//! `spire-server localauthority jwt show` (SC-340).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_proto::server::localauthority::v1::GetJwtAuthorityStateRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority jwt show",
        usage_name: "localauthority jwt show",
        synopsis: "Shows the local JWT authorities",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let answer = client.get_jwt_authority_state(GetJwtAuthorityStateRequest {}).await;
    let answer = answer.map_err(client::bare)?.into_inner();
    super::print_all(
        context,
        "spire.api.server.localauthority.v1.GetJWTAuthorityStateResponse",
        &answer,
        super::Kind::Jwt,
        [answer.active.as_ref(), answer.prepared.as_ref(), answer.old.as_ref()],
    )
}
