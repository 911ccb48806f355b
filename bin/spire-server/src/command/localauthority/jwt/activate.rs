//! `spire-server localauthority jwt activate` (SC-342).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::ActivateJwtAuthorityRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority jwt activate",
        usage_name: "localauthority jwt activate",
        synopsis: "Activates a prepared JWT authority for use, which will cause it to be used for all JWT signing operations serviced by this server going forward",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    super::id_flag(flags, "The authority ID of the JWT authority to activate");
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let request = ActivateJwtAuthorityRequest { authority_id: super::authority_id(&context)? };
    let answer = client.activate_jwt_authority(request).await;
    let answer = answer.map_err(client::failed("could not activate JWT authority"))?.into_inner();
    super::print_one(
        context,
        "spire.api.server.localauthority.v1.ActivateJWTAuthorityResponse",
        &answer,
        ("Activated", super::Kind::Jwt),
        answer.activated_authority.as_ref(),
    )
}
