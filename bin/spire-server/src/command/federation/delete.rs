//! `spire-server federation delete` (SC-319).

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::trustdomain::v1::{
    BatchDeleteFederationRelationshipRequest, BatchDeleteFederationRelationshipResponse,
};
use spire_runtime::logging::go_quote;

use crate::command::client::{self, ItemFailure};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "federation delete",
        usage_name: "federation delete",
        synopsis: "Deletes a dynamic federation relationship",
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
    let request = BatchDeleteFederationRelationshipRequest { trust_domains: vec![id.to_owned()] };
    let answer = client.batch_delete_federation_relationship(request).await;
    let answer = answer.map_err(client::failed("failed to delete federation relationship"))?.into_inner();
    client::print(
        &mut context,
        "spire.api.server.trustdomain.v1.BatchDeleteFederationRelationshipResponse",
        &answer,
        |env| pretty(&answer, env),
    )
}

fn pretty(answer: &BatchDeleteFederationRelationshipResponse, env: &mut Env) -> Outcome {
    let result =
        answer.results.first().ok_or("internal error: the server told nothing about the trust domain")?;
    if let Some(failure) = ItemFailure::of(result.status.as_ref()) {
        let trust_domain = go_quote(&result.trust_domain);
        let message = failure.message;
        return Err(format!("failed to delete federation relationship {trust_domain}: {message}").into());
    }
    env.out("federation relationship deleted.\n");
    Ok(())
}
