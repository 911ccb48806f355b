//! `spire-server localauthority x509 revoke` (SC-342).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::RevokeX509AuthorityRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority x509 revoke",
        usage_name: "localauthority x509 revoke",
        synopsis: "Revokes the previously active X.509 authority by removing it from the bundle and propagating this update throughout the cluster",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    super::id_flag(flags, "The authority ID of the X.509 authority to revoke");
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let request = RevokeX509AuthorityRequest { authority_id: super::authority_id(&context)? };
    let answer = client.revoke_x509_authority(request).await;
    let answer = answer.map_err(client::failed("could not revoke X.509 authority"))?.into_inner();
    super::print_one(
        context,
        "spire.api.server.localauthority.v1.RevokeX509AuthorityResponse",
        &answer,
        ("Revoked", super::Kind::X509),
        answer.revoked_authority.as_ref(),
    )
}
