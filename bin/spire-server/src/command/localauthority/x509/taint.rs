//! `spire-server localauthority x509 taint` (SC-342).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::TaintX509AuthorityRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority x509 taint",
        usage_name: "localauthority x509 taint",
        synopsis: "Marks the previously active X.509 authority as being tainted",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    super::id_flag(flags, "The authority ID of the X.509 authority to taint");
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let request = TaintX509AuthorityRequest { authority_id: super::authority_id(&context)? };
    let answer = client.taint_x509_authority(request).await;
    let answer = answer.map_err(client::failed("could not taint X.509 authority"))?.into_inner();
    super::print_one(
        context,
        "spire.api.server.localauthority.v1.TaintX509AuthorityResponse",
        &answer,
        ("Tainted", super::Kind::X509),
        answer.tainted_authority.as_ref(),
    )
}
