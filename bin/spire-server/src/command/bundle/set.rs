//! `spire-server bundle set` (SC-295).

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::bundle::v1::{BatchSetFederatedBundleRequest, BatchSetFederatedBundleResponse};

use super::document::{self, BundleFormat};
use crate::command::client::{self, ItemFailure};
use crate::command::files;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "bundle set",
        usage_name: "bundle set",
        synopsis: "Creates or updates federated bundle data",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("id", "", "SPIFFE ID of the trust domain");
    flags.string("path", "", "Path to the bundle data");
    flags.string("format", document::PEM, "The format of the bundle data. Either \"pem\" or \"spiffe\".");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut bundles = super::connect(&context)?;
    let id = context.flags.text("id");
    if id.is_empty() {
        return Err("id flag is required".into());
    }
    let format = BundleFormat::parse(context.flags.text("format"))?;
    let data = match context.flags.text("path") {
        "" => files::stdin(),
        path => files::read(path),
    };
    let data = data.map_err(|error| format!("unable to load bundle data: {error}"))?;
    let bundle = document::read(&data, format, id)?;
    let request = BatchSetFederatedBundleRequest { bundle: vec![bundle], output_mask: None };
    let answer = bundles
        .batch_set_federated_bundle(request)
        .await
        .map_err(client::failed("failed to set federated bundle"))?
        .into_inner();
    client::print(
        &mut context,
        "spire.api.server.bundle.v1.BatchSetFederatedBundleResponse",
        &answer,
        |env| pretty(&answer, env),
    )
}

fn pretty(answer: &BatchSetFederatedBundleResponse, env: &mut Env) -> Outcome {
    let status = answer.results.first().and_then(|result| result.status.as_ref());
    if let Some(failure) = ItemFailure::of(status) {
        return Err(format!("failed to set federated bundle: {}", failure.message).into());
    }
    env.out("bundle set.\n");
    Ok(())
}
