//! `spire-server upstreamauthority revoke` (SC-345).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::RevokeX509UpstreamAuthorityRequest;

use super::{client, localauthority};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "upstreamauthority revoke",
        usage_name: "upstreamauthority revoke",
        synopsis: "Revokes the previously active X.509 upstream authority by removing it from the bundle and propagating this update throughout the cluster",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string(
        "subjectKeyID",
        "",
        "The X.509 Subject Key Identifier (or SKID) of the authority's CA certificate of the X.509 upstream authority to revoke",
    );
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = localauthority::connect(&context)?;
    let request = RevokeX509UpstreamAuthorityRequest { subject_key_id: super::subject_key_id(&context)? };
    let answer = client.revoke_x509_upstream_authority(request).await;
    let answer = answer.map_err(client::failed("could not revoke X.509 upstream authority"))?.into_inner();
    let id = &answer.upstream_authority_subject_key_id;
    let text = format!("Revoked X.509 upstream authority:\n  Subject Key ID: {id}\n");
    client::print_text(
        &mut context,
        "spire.api.server.localauthority.v1.RevokeX509UpstreamAuthorityResponse",
        &answer,
        &text,
    )
}
