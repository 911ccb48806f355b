//! `spire-server entry update` (SC-250 to SC-253).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::entry::v1::entry_client::EntryClient;
use spire_proto::server::entry::v1::{BatchUpdateEntryRequest, GetEntryRequest};
use spire_proto::types::Entry;
use spire_proto::types::entry::AdditionalAttributes;
use tonic::transport::Channel;

use super::{batch, data_file, fields};
use crate::command::{arguments, client};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "entry update",
        usage_name: "entry update",
        synopsis: "Updates registration entries",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    fields::flags(flags);
    flags.string("entryID", "", "The Registration Entry ID of the record to update");
    flags.switch(fields::DISABLE_PREFETCH, fields::DISABLE_PREFETCH_USAGE);
    flags.switch(fields::INCLUDE_JTI, fields::INCLUDE_JTI_USAGE);
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let entries = match context.flags.text("data") {
        "" => {
            let mut entry = described(context.flags)?;
            entry.additional_attributes = merged_attributes(&mut client, context.flags).await?;
            vec![entry]
        }
        path => data_file::read(path)?,
    };
    let request = BatchUpdateEntryRequest { entries: entries.clone(), input_mask: None, output_mask: None };
    let mut answer = client.batch_update_entry(request).await.map_err(client::bare)?.into_inner();
    batch::fill_in(&mut answer.results, entries);
    client::print(&mut context, "spire.api.server.entry.v1.BatchUpdateEntryResponse", &answer, |env| {
        batch::pretty(&answer.results, "update", env)
    })
}

/// The entry that the flags describe; whatever they leave out is reset (SC-251).
fn described(flags: &FlagSet) -> Result<Entry, String> {
    for (missing, error) in [
        (flags.text("entryID").is_empty(), "entry ID is required"),
        (flags.texts("selector").is_empty(), "at least one selector is required"),
        (flags.text("parentID").is_empty(), "a parent ID is required"),
        (flags.text("spiffeID").is_empty(), "a SPIFFE ID is required"),
    ] {
        if missing {
            return Err(error.to_owned());
        }
    }
    fields::check_lifetimes(flags)?;
    let parent_id = arguments::spiffe_id(flags.text("parentID"))?;
    let spiffe_id = arguments::spiffe_id(flags.text("spiffeID"))?;
    fields::entry(flags, spiffe_id, parent_id)
}

/// An attribute that is given is set, even by `=false` (SC-252), and the other one stays as it is on the server.
/// Without either, both are cleared.
async fn merged_attributes(
    client: &mut EntryClient<Channel>,
    flags: &FlagSet,
) -> Result<Option<AdditionalAttributes>, String> {
    let (prefetch, jti) = (flags.is(fields::DISABLE_PREFETCH), flags.is(fields::INCLUDE_JTI));
    if !prefetch && !jti {
        return Ok(None);
    }
    let request = GetEntryRequest { id: flags.text("entryID").to_owned(), output_mask: None };
    let existing = client
        .get_entry(request)
        .await
        .map_err(client::failed("failed to fetch existing entry to merge additional attributes"))?;
    let mut attributes = existing.into_inner().additional_attributes.unwrap_or_default();
    attributes.disable_x509_svid_prefetch |= prefetch;
    attributes.jwt_svid_include_jti |= jti;
    Ok(Some(attributes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_flags_are_told_in_order() {
        // SC-250
        let all = ["-entryID", "e", "-selector", "a:b", "-parentID", "x", "-spiffeID", "y"];
        for (given, error) in [
            (0, "entry ID is required"),
            (2, "at least one selector is required"),
            (4, "a parent ID is required"),
            (6, "a SPIFFE ID is required"),
            (8, "scheme is missing or invalid"),
        ] {
            let mut set = FlagSet::new("entry update");
            flags(&mut set);
            set.parse(&all[..given].iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>()).unwrap();
            assert_eq!(described(&set).unwrap_err(), error);
        }
    }
}
