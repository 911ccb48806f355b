//! The answers to `create` and `update`, which print alike (SC-245, SC-246, SC-253).

use spire_cli::{Env, Outcome};
use spire_proto::server::entry::v1::{batch_create_entry_response, batch_update_entry_response};
use spire_proto::types::{Entry, Status};

use super::text::block;
use crate::command::client::ItemFailure;

/// What became of one entry.
pub(super) trait BatchResult {
    fn status(&self) -> Option<&Status>;
    fn entry(&mut self) -> &mut Option<Entry>;
}

impl BatchResult for batch_create_entry_response::Result {
    fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    fn entry(&mut self) -> &mut Option<Entry> {
        &mut self.entry
    }
}

impl BatchResult for batch_update_entry_response::Result {
    fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    fn entry(&mut self) -> &mut Option<Entry> {
        &mut self.entry
    }
}

/// The server leaves out entries that failed; those of the request take their place.
pub(super) fn fill_in<R: BatchResult>(results: &mut [R], requested: Vec<Entry>) {
    for (result, entry) in results.iter_mut().zip(requested) {
        if ItemFailure::of(result.status()).is_some() {
            *result.entry() = Some(entry);
        }
    }
}

/// Successes first, then failures on the other stream; `verb` is `create` or `update`.
pub(super) fn pretty<R: BatchResult + Clone>(results: &[R], verb: &str, env: &mut Env) -> Outcome {
    let mut failures = Vec::new();
    for result in results {
        let text = block(&result.clone().entry().take().unwrap_or_default());
        match ItemFailure::of(result.status()) {
            None => env.out(&text),
            Some(failure) => failures.push((failure, text)),
        }
    }
    for (failure, text) in &failures {
        env.err(&format!("Failed to {verb} the following entry {}:\n{text}", failure.in_brackets()));
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("failed to {verb} one or more entries").into()) }
}
