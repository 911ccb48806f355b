//! The answers to `create` and `update`, which print alike (SC-314).

use spire_cli::{Env, Outcome};
use spire_proto::types::{FederationRelationship, Status};

use super::text::block;
use crate::command::client::ItemFailure;

/// What became of one relationship.
pub(super) type BatchResult<'a> = (Option<&'a Status>, Option<&'a FederationRelationship>);

/// Successes first, then failures on the other stream, each after an empty line on the first; `verb` is `create` or
/// `update`. The server leaves out relationships that failed, those of the request are shown in their place.
pub(super) fn pretty<'a>(
    results: impl Iterator<Item = BatchResult<'a>>,
    requested: &'a [FederationRelationship],
    verb: &str,
    env: &mut Env,
) -> Outcome {
    let mut failures = Vec::new();
    for ((status, relationship), requested) in results.zip(requested) {
        match (ItemFailure::of(status), relationship) {
            (Some(failure), _) => failures.push((failure, requested)),
            (None, Some(relationship)) => env.out(&format!("\n{}", block(relationship))),
            (None, None) => env.out("\n"),
        }
    }
    for (failure, requested) in &failures {
        env.out("\n");
        env.err(&format!(
            "Failed to {verb} the following federation relationship {}:\n{}",
            failure.in_brackets(),
            block(requested)
        ));
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("failed to {verb} one or more federation relationships").into())
    }
}
