//! `spire-server bundle show` (SC-290 to SC-293).

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::bundle::v1::GetBundleRequest;
use spire_proto::types::Bundle;

use super::document::{self, BundleFormat};
use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "bundle show",
        usage_name: "bundle show",
        synopsis: "Prints server CA bundle to stdout",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string(
        "format",
        document::PEM,
        "The format to show the bundle (only pretty output format supports this flag). Either \"pem\" or \"spiffe\".",
    );
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut bundles = super::connect(&context)?;
    let answer = bundles.get_bundle(GetBundleRequest { output_mask: None }).await;
    let bundle = answer.map_err(client::bare)?.into_inner();
    let format = context.flags.text("format");
    client::print(&mut context, "spire.api.types.Bundle", &bundle, |env| pretty(&bundle, format, env))
}

/// Nothing but the bundle, so that it may go to a file.
pub(super) fn pretty(bundle: &Bundle, format: &str, env: &mut Env) -> Outcome {
    env.out(&document::write(bundle, BundleFormat::parse(format)?)?);
    Ok(())
}
