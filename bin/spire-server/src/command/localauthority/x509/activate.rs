//! `spire-server localauthority x509 activate` (SC-342).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::ActivateX509AuthorityRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority x509 activate",
        usage_name: "localauthority x509 activate",
        synopsis: "Activates a prepared X.509 authority for use, which will cause it to be used for all X.509 signing operations serviced by this server going forward",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    super::id_flag(flags, "The authority ID of the X.509 authority to activate");
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let request = ActivateX509AuthorityRequest { authority_id: super::authority_id(&context)? };
    let answer = client.activate_x509_authority(request).await;
    let answer = answer.map_err(client::failed("could not activate X.509 authority"))?.into_inner();
    super::print_one(
        context,
        "spire.api.server.localauthority.v1.ActivateX509AuthorityResponse",
        &answer,
        ("Activated", super::Kind::X509),
        answer.activated_authority.as_ref(),
    )
}
