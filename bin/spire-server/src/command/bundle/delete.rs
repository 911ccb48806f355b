//! `spire-server bundle delete` (SC-296).

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::bundle::v1::batch_delete_federated_bundle_request::Mode;
use spire_proto::server::bundle::v1::{
    BatchDeleteFederatedBundleRequest, BatchDeleteFederatedBundleResponse,
};
use spire_runtime::logging::go_quote;

use crate::command::client::{self, ItemFailure};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "bundle delete",
        usage_name: "bundle delete",
        synopsis: "Deletes federated bundle data",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("id", "", "SPIFFE ID of the trust domain");
    flags.string("mode", "restrict", "Deletion mode: one of restrict, delete, or dissociate");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut bundles = super::connect(&context)?;
    let id = context.flags.text("id");
    if id.is_empty() {
        return Err("id is required".into());
    }
    let request = BatchDeleteFederatedBundleRequest {
        trust_domains: vec![id.to_owned()],
        mode: mode(context.flags.text("mode"))?.into(),
    };
    let answer = bundles
        .batch_delete_federated_bundle(request)
        .await
        .map_err(client::failed("failed to delete federated bundle"))?
        .into_inner();
    client::print(
        &mut context,
        "spire.api.server.bundle.v1.BatchDeleteFederatedBundleResponse",
        &answer,
        |env| pretty(&answer, env),
    )
}

/// What happens to entries that federate with the trust domain.
fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "" | "restrict" => Ok(Mode::Restrict),
        "dissociate" => Ok(Mode::Dissociate),
        "delete" => Ok(Mode::Delete),
        other => Err(format!("unsupported mode {}", go_quote(other))),
    }
}

fn pretty(answer: &BatchDeleteFederatedBundleResponse, env: &mut Env) -> Outcome {
    for result in answer.results.iter().take(1) {
        if let Some(failure) = ItemFailure::of(result.status.as_ref()) {
            let trust_domain = go_quote(&result.trust_domain);
            return Err(
                format!("failed to delete federated bundle {trust_domain}: {}", failure.message).into()
            );
        }
    }
    env.out("bundle deleted.\n");
    Ok(())
}
