//! `spire-server federation update` (SC-310 to SC-314).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::trustdomain::v1::BatchUpdateFederationRelationshipRequest;

use super::{batch, relationship};
use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "federation update",
        usage_name: "federation update",
        synopsis: "Updates a dynamic federation relationship with a foreign trust domain",
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
    let request = BatchUpdateFederationRelationshipRequest {
        federation_relationships: requested.clone(),
        input_mask: None,
        output_mask: None,
    };
    let answer = client.batch_update_federation_relationship(request).await;
    let answer = answer.map_err(client::failed("request failed"))?.into_inner();
    client::print(
        &mut context,
        "spire.api.server.trustdomain.v1.BatchUpdateFederationRelationshipResponse",
        &answer,
        |env| {
            let results = answer.results.iter();
            let results =
                results.map(|result| (result.status.as_ref(), result.federation_relationship.as_ref()));
            batch::pretty(results, &requested, "update", env)
        },
    )
}
