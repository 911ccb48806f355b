//! `spire-server bundle list` (SC-294).

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::bundle::v1::{GetFederatedBundleRequest, ListFederatedBundlesRequest};
use spire_proto::types::Bundle;

use super::document::{self, BundleFormat};
use super::show;
use crate::command::client;

const STARS: &str = "****************************************";

pub(in crate::command) fn command() -> Command {
    Command {
        path: "bundle list",
        usage_name: "bundle list",
        synopsis: "Lists federated bundle data",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("id", "", "SPIFFE ID of the trust domain");
    flags.string(
        "format",
        document::PEM,
        "The format to list federated bundles (only pretty output format supports this flag). Either \"pem\" or \
         \"spiffe\".",
    );
}

async fn run(context: Context<'_>) -> Outcome {
    match context.flags.text("id") {
        "" => all(context).await,
        id => one(context, id).await,
    }
}

async fn one(mut context: Context<'_>, id: &str) -> Outcome {
    let mut bundles = super::connect(&context)?;
    let request = GetFederatedBundleRequest { trust_domain: id.to_owned(), output_mask: None };
    let bundle = bundles.get_federated_bundle(request).await.map_err(client::bare)?.into_inner();
    let format = context.flags.text("format");
    client::print(&mut context, "spire.api.types.Bundle", &bundle, |env| show::pretty(&bundle, format, env))
}

async fn all(mut context: Context<'_>) -> Outcome {
    let mut bundles = super::connect(&context)?;
    let answer = bundles.list_federated_bundles(ListFederatedBundlesRequest::default()).await;
    let answer = answer.map_err(client::bare)?.into_inner();
    let format = context.flags.text("format");
    client::print(&mut context, "spire.api.server.bundle.v1.ListFederatedBundlesResponse", &answer, |env| {
        pretty(&answer.bundles, format, env)
    })
}

fn pretty(bundles: &[Bundle], format: &str, env: &mut Env) -> Outcome {
    for (index, bundle) in bundles.iter().enumerate() {
        let format = BundleFormat::parse(format)?;
        let gap = if index == 0 { "" } else { "\n" };
        env.out(&format!("{gap}{STARS}\n* {}\n{STARS}\n", bundle.trust_domain));
        env.out(&document::write(bundle, format)?);
    }
    Ok(())
}
