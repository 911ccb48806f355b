//! `spire-server localauthority jwt taint` (SC-342).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::TaintJwtAuthorityRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority jwt taint",
        usage_name: "localauthority jwt taint",
        synopsis: "Marks the previously active JWT authority as being tainted",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    super::id_flag(flags, "The authority ID of the JWT authority to taint");
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let request = TaintJwtAuthorityRequest { authority_id: super::authority_id(&context)? };
    let answer = client.taint_jwt_authority(request).await;
    let answer = answer.map_err(client::failed("could not taint JWT authority"))?.into_inner();
    super::print_one(
        context,
        "spire.api.server.localauthority.v1.TaintJWTAuthorityResponse",
        &answer,
        ("Tainted", super::Kind::Jwt),
        answer.tainted_authority.as_ref(),
    )
}
