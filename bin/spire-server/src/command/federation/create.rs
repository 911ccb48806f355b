//! `spire-server federation create` (SC-310 to SC-314).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::trustdomain::v1::BatchCreateFederationRelationshipRequest;

use super::{batch, relationship};
use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "federation create",
        usage_name: "federation create",
        synopsis: "Creates a dynamic federation relationship with a foreign trust domain",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    relationship::flags(flags);
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let requested = relationship::requested(context.flags)?;
    let request = BatchCreateFederationRelationshipRequest {
        federation_relationships: requested.clone(),
        output_mask: None,
    };
    let answer = client.batch_create_federation_relationship(request).await;
    let answer = answer.map_err(client::failed("request failed"))?.into_inner();
    client::print(
        &mut context,
        "spire.api.server.trustdomain.v1.BatchCreateFederationRelationshipResponse",
        &answer,
        |env| {
            let results = answer.results.iter();
            let results =
                results.map(|result| (result.status.as_ref(), result.federation_relationship.as_ref()));
            batch::pretty(results, &requested, "create", env)
        },
    )
}
