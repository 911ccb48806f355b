//! `spire-server localauthority x509 prepare` (SC-342).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_proto::server::localauthority::v1::PrepareX509AuthorityRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority x509 prepare",
        usage_name: "localauthority x509 prepare",
        synopsis: "Prepares a new X.509 authority for use by generating a new key and injecting the resulting CA certificate into the bundle",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let answer = client.prepare_x509_authority(PrepareX509AuthorityRequest {}).await;
    let answer = answer.map_err(client::failed("could not prepare X.509 authority"))?.into_inner();
    super::print_one(
        context,
        "spire.api.server.localauthority.v1.PrepareX509AuthorityResponse",
        &answer,
        ("Prepared", super::Kind::X509),
        answer.prepared_authority.as_ref(),
    )
}
