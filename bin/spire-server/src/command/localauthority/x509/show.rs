//! `spire-server localauthority x509 show` (SC-340).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_proto::server::localauthority::v1::GetX509AuthorityStateRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "localauthority x509 show",
        usage_name: "localauthority x509 show",
        synopsis: "Shows the local X.509 authorities",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let answer = client.get_x509_authority_state(GetX509AuthorityStateRequest {}).await;
    let answer = answer.map_err(client::failed("could not get X.509 authorities"))?.into_inner();
    super::print_all(
        context,
        "spire.api.server.localauthority.v1.GetX509AuthorityStateResponse",
        &answer,
        super::Kind::X509,
        [answer.active.as_ref(), answer.prepared.as_ref(), answer.old.as_ref()],
    )
}
