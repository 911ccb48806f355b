//! `spire-server federation refresh` (SC-318).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::trustdomain::v1::RefreshBundleRequest;
use spire_proto::types::Status;
use spire_runtime::logging::go_quote;
use tonic::Code;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "federation refresh",
        usage_name: "federation refresh",
        synopsis: "Refreshes the bundle from the specified federated trust domain",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("id", "", "SPIFFE ID of the trust domain");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let id = context.flags.text("id");
    if id.is_empty() {
        return Err("id is required".into());
    }
    match client.refresh_bundle(RefreshBundleRequest { trust_domain: id.to_owned() }).await {
        Ok(_) => {
            let ok = Status { code: 0, message: "OK".to_owned() };
            client::print_text(&mut context, "spire.api.types.Status", &ok, "Bundle refreshed\n")
        }
        Err(status) if status.code() == Code::NotFound => {
            Err(format!("there is no federation relationship with trust domain {}", go_quote(id)).into())
        }
        Err(status) => Err(format!("failed to refresh bundle: {}", client::bare(status)).into()),
    }
}
