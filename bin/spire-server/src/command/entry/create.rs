//! `spire-server entry create` (SC-240 to SC-246).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::entry::v1::BatchCreateEntryRequest;
use spire_proto::types::entry::AdditionalAttributes;
use spire_proto::types::{Entry, Spiffeid};

use super::{batch, data_file, fields};
use crate::command::{arguments, client};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "entry create",
        usage_name: "entry create",
        synopsis: "Creates registration entries",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    fields::flags(flags);
    flags.string(
        "entryID",
        "",
        "A custom ID for this registration entry (optional). If not set, a new entry ID will be generated",
    );
    flags.bool("node", "If set, this entry will be applied to matching nodes rather than workloads");
    flags.bool(fields::DISABLE_PREFETCH, fields::DISABLE_PREFETCH_USAGE);
    flags.bool(fields::INCLUDE_JTI, fields::INCLUDE_JTI_USAGE);
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let entries = match context.flags.text("data") {
        "" => vec![described(context.flags)?],
        path => data_file::read(path)?,
    };
    let request = BatchCreateEntryRequest { entries: entries.clone(), output_mask: None };
    let mut answer = client.batch_create_entry(request).await.map_err(client::bare)?.into_inner();
    batch::fill_in(&mut answer.results, entries);
    client::print(&mut context, "spire.api.server.entry.v1.BatchCreateEntryResponse", &answer, |env| {
        batch::pretty(&answer.results, "create", env)
    })
}

/// The entry that the flags describe.
fn described(flags: &FlagSet) -> Result<Entry, String> {
    check(flags)?;
    let spiffe_id = arguments::spiffe_id(flags.text("spiffeID"))?;
    let parent_id = if flags.is("node") {
        // The server is the parent of nodes (SC-242).
        Spiffeid { trust_domain: spiffe_id.trust_domain.clone(), path: "/spire/server".to_owned() }
    } else {
        arguments::spiffe_id(flags.text("parentID"))?
    };
    let mut entry = fields::entry(flags, spiffe_id, parent_id)?;
    let attributes = AdditionalAttributes {
        disable_x509_svid_prefetch: flags.is(fields::DISABLE_PREFETCH),
        jwt_svid_include_jti: flags.is(fields::INCLUDE_JTI),
    };
    entry.additional_attributes = (attributes != AdditionalAttributes::default()).then_some(attributes);
    Ok(entry)
}

/// What can be said before anything is parsed, in upstream's order.
fn check(flags: &FlagSet) -> Result<(), String> {
    let node = flags.is("node");
    if flags.texts("selector").is_empty() {
        return Err("at least one selector is required".to_owned());
    }
    if node && !flags.texts("federatesWith").is_empty() {
        return Err("node entries can not federate".to_owned());
    }
    if !node && flags.text("parentID").is_empty() {
        return Err("a parent ID is required if the node flag is not set".to_owned());
    }
    if flags.text("spiffeID").is_empty() {
        return Err("a SPIFFE ID is required".to_owned());
    }
    fields::check_lifetimes(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(args: &[&str]) -> Result<Entry, String> {
        let mut set = FlagSet::new("entry create");
        flags(&mut set);
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        set.parse(&args).map_err(|error| error.to_string())?;
        described(&set)
    }

    #[test]
    fn missing_flags_are_told_in_order() {
        // SC-241
        let base = ["-selector", "a:b", "-parentID", "x", "-spiffeID", "y"];
        for (args, error) in [
            (&[][..], "at least one selector is required"),
            (&["-selector", "x", "-node", "-federatesWith", "z"], "node entries can not federate"),
            (&base[..2], "a parent ID is required if the node flag is not set"),
            (&base[..4], "a SPIFFE ID is required"),
            (
                &[&base[..], &["-x509SVIDTTL", "-1", "-jwtSVIDTTL", "-1"]].concat(),
                "a positive x509-SVID TTL is required",
            ),
            (&[&base[..], &["-jwtSVIDTTL", "-1"]].concat(), "a positive JWT-SVID TTL is required"),
            (&base[..], "scheme is missing or invalid"),
            (
                &["-selector", "x", "-node", "-spiffeID", "spiffe://td/n", "-jwtSVIDTTL", "2147483648"],
                "invalid value for JWT SVID TTL: overflow converting int(2147483648) to int32",
            ),
            (
                &["-selector", "x", "-node", "-spiffeID", "spiffe://td/n"],
                "selector \"x\" must be formatted as type:value",
            ),
        ] {
            assert_eq!(entry(args).unwrap_err(), error, "{args:?}");
        }
    }

    #[test]
    fn nodes_have_the_server_for_a_parent() {
        // SC-242
        let entry = entry(&["-node", "-parentID", "no id", "-spiffeID", "spiffe://td/n", "-selector", "a:b"])
            .unwrap();
        assert_eq!(arguments::shown_id(entry.parent_id.as_ref()), "spiffe://td/spire/server");
        assert_eq!(entry.additional_attributes, None);
    }

    #[test]
    fn attributes_are_sent_when_one_is_true() {
        // SC-244
        let with = |flag: &str| {
            entry(&["-node", "-spiffeID", "spiffe://td/n", "-selector", "a:b", flag])
                .unwrap()
                .additional_attributes
        };
        assert_eq!(with("-jwtSVIDIncludeJTI=false"), None);
        assert!(with("-jwtSVIDIncludeJTI").unwrap().jwt_svid_include_jti);
    }
}
