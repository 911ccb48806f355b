//! `spire-server localauthority jwt prepare` (SC-342).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_proto::server::localauthority::v1::PrepareJwtAuthorityRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority jwt prepare",
        usage_name: "localauthority jwt prepare",
        synopsis: "Prepares a new JWT authority for use by generating a new key and injecting it into the bundle",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let answer = client.prepare_jwt_authority(PrepareJwtAuthorityRequest {}).await;
    let answer = answer.map_err(client::failed("could not prepare JWT authority"))?.into_inner();
    super::print_one(
        context,
        "spire.api.server.localauthority.v1.PrepareJWTAuthorityResponse",
        &answer,
        ("Prepared", super::Kind::Jwt),
        answer.prepared_authority.as_ref(),
    )
}
