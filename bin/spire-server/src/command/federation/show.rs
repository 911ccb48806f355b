//! `spire-server federation show` (SC-317).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::trustdomain::v1::GetFederationRelationshipRequest;

use super::text::block;
use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "federation show",
        usage_name: "federation show",
        synopsis: "Shows a dynamic federation relationship",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("trustDomain", "", "The trust domain name of the federation relationship to show");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let name = context.flags.text("trustDomain");
    if name.is_empty() {
        return Err("a trust domain name is required".into());
    }
    let request = GetFederationRelationshipRequest { trust_domain: name.to_owned(), output_mask: None };
    let answer = client.get_federation_relationship(request).await;
    let relationship = answer.map_err(client::failed("error showing federation relationship"))?.into_inner();
    let text =
        format!("Found a federation relationship with trust domain {name}:\n\n{}", block(&relationship));
    client::print_text(&mut context, "spire.api.types.FederationRelationship", &relationship, &text)
}
