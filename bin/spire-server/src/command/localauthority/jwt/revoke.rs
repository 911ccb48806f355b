//! `spire-server localauthority jwt revoke` (SC-342).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::RevokeJwtAuthorityRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority jwt revoke",
        usage_name: "localauthority jwt revoke",
        synopsis: "Revokes the previously active JWT authority by removing it from the bundle and propagating this update throughout the cluster",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    super::id_flag(flags, "The authority ID of the JWT authority to revoke");
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let request = RevokeJwtAuthorityRequest { authority_id: super::authority_id(&context)? };
    let answer = client.revoke_jwt_authority(request).await;
    let answer = answer.map_err(client::failed("could not revoke JWT authority"))?.into_inner();
    super::print_one(
        context,
        "spire.api.server.localauthority.v1.RevokeJWTAuthorityResponse",
        &answer,
        ("Revoked", super::Kind::Jwt),
        answer.revoked_authority.as_ref(),
    )
}
