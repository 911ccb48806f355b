//! `spire-server entry delete` (SC-254, SC-255).

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::entry::v1::{BatchDeleteEntryRequest, BatchDeleteEntryResponse};

use crate::command::client::{self, ItemFailure};
use crate::command::files;
use crate::command::json_input::{self, Member, Struct};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "entry delete",
        usage_name: "entry delete",
        synopsis: "Deletes registration entries",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("entryID", "", "The Registration Entry ID of the record to delete.");
    flags.string(
        "file",
        "",
        "Path to a file containing a JSON structure for batch deletion (optional). If set to '-', read from stdin.",
    );
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let ids = match (context.flags.text("file"), context.flags.text("entryID")) {
        ("", "") => return Err("an entry ID is required".into()),
        ("", id) => vec![id.to_owned()],
        (path, _) => ids_of(&files::read_or_stdin(path)?)?,
    };
    let answer = client.batch_delete_entry(BatchDeleteEntryRequest { ids }).await;
    let answer = answer.map_err(client::bare)?.into_inner();
    client::print(&mut context, "spire.api.server.entry.v1.BatchDeleteEntryResponse", &answer, |env| {
        pretty(&answer, env)
    })
}

fn ids_of(data: &[u8]) -> Result<Vec<String>, String> {
    let written: Written = json_input::read(data)?;
    Ok(written.ids)
}

/// The request as it is written in a file.
#[derive(Default)]
struct Written {
    ids: Vec<String>,
}

impl Struct for Written {
    const PACKAGE: &'static str = "entryv1";
    const NAME: &'static str = "BatchDeleteEntryRequest";

    fn members(&mut self) -> Vec<Member<'_>> {
        vec![Member("ids", &mut self.ids)]
    }
}

/// The last line has no end, as scripts know it.
fn pretty(answer: &BatchDeleteEntryResponse, env: &mut Env) -> Outcome {
    let mut failures = Vec::new();
    let mut deleted = 0;
    for result in &answer.results {
        match ItemFailure::of(result.status.as_ref()) {
            None => {
                deleted += 1;
                env.out(&format!("Deleted entry with ID: {}\n", result.id));
            }
            Some(failure) => failures.push((&result.id, failure)),
        }
    }
    if deleted > 0 {
        env.out("\n\n");
    }
    for (id, failure) in &failures {
        env.err(&format!("Failed to delete entry with ID {id} {}\n", failure.in_brackets()));
    }
    match (deleted, failures.len()) {
        (deleted, 0) => {
            env.out(&format!("Deleted {deleted} entries successfully"));
            return Ok(());
        }
        (0, failed) => env.out(&format!("\n\nFailed to delete {failed} entries")),
        (deleted, failed) => env.out(&format!(
            "\n\nDeleted {deleted} entries successfully, but failed to delete {failed} entries"
        )),
    }
    Err("failed to delete one or more entries".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_by_a_name_in_any_case() {
        // SC-254
        assert_eq!(ids_of(br#"{"Ids": ["a", "b"]}"#).unwrap(), ["a", "b"]);
        // As in SPIRE the last spelling counts.
        assert_eq!(ids_of(br#"{"ids":["a"],"Ids":["b"]}"#).unwrap(), ["b"]);
        assert!(ids_of(b"e1\ne2\n").unwrap_err().starts_with("invalid character"));
        assert_eq!(
            ids_of(br#"{"ids": "a"}"#).unwrap_err(),
            "json: cannot unmarshal string into Go struct field BatchDeleteEntryRequest.ids of type []string"
        );
        assert_eq!(
            ids_of(b"[]").unwrap_err(),
            "json: cannot unmarshal array into Go value of type entryv1.BatchDeleteEntryRequest"
        );
    }
}
