//! `spire-server upstreamauthority taint` (SC-345).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::TaintX509UpstreamAuthorityRequest;

use super::{client, localauthority};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "upstreamauthority taint",
        usage_name: "upstreamauthority taint",
        synopsis: "Marks the provided X.509 upstream authority as being tainted",
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
        "The X.509 Subject Key Identifier (or SKID) of the authority's CA certificate of the upstream X.509 authority to taint",
    );
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = localauthority::connect(&context)?;
    let request = TaintX509UpstreamAuthorityRequest { subject_key_id: super::subject_key_id(&context)? };
    let answer = client.taint_x509_upstream_authority(request).await;
    let answer = answer.map_err(client::failed("could not taint X.509 upstream authority"))?.into_inner();
    let id = &answer.upstream_authority_subject_key_id;
    let text = format!("Tainted X.509 upstream authority:\n  Subject Key ID: {id}\n");
    client::print_text(
        &mut context,
        "spire.api.server.localauthority.v1.TaintX509UpstreamAuthorityResponse",
        &answer,
        &text,
    )
}
