//! Which entries `show` and `count` are about (SC-256, SC-257, SC-260).

use spire_cli::FlagSet;
use spire_proto::server::entry::v1::{count_entries_request, list_entries_request};
use spire_proto::types::{FederatesWithMatch, SelectorMatch, Spiffeid};
use spire_runtime::logging::go_quote;

use crate::command::{arguments, match_behavior};

/// Declares the flags whose words do not say what the command does.
pub(super) fn flags(flags: &mut FlagSet) {
    flags.bool(
        "downstream",
        "A boolean value that, when set, indicates that the entry describes a downstream SPIRE server",
    );
    flags.list("selector", "A colon-delimited type:value selector. Can be used more than once");
    flags.list(
        "federatesWith",
        "SPIFFE ID of a trust domain an entry is federate with. Can be used more than once",
    );
    flags.string("matchFederatesWithOn", match_behavior::DEFAULT, match_behavior::FEDERATES_WITH_USAGE);
    flags.string("matchSelectorsOn", match_behavior::DEFAULT, match_behavior::SELECTORS_USAGE);
}

pub(super) fn of_list(flags: &FlagSet) -> Result<list_entries_request::Filter, String> {
    Ok(list_entries_request::Filter {
        by_parent_id: id(flags.text("parentID"), "parent ID")?,
        by_spiffe_id: id(flags.text("spiffeID"), "SPIFFE ID")?,
        by_selectors: selectors(flags)?,
        by_federates_with: federates_with(flags)?,
        by_hint: Some(flags.text("hint").to_owned()).filter(|hint| !hint.is_empty()),
        // The server takes "not downstream" for "any" (SC-258).
        by_downstream: Some(flags.is("downstream")),
    })
}

pub(super) fn of_count(flags: &FlagSet) -> Result<count_entries_request::Filter, String> {
    let filter = of_list(flags)?;
    Ok(count_entries_request::Filter {
        by_spiffe_id: filter.by_spiffe_id,
        by_parent_id: filter.by_parent_id,
        by_selectors: filter.by_selectors,
        by_federates_with: filter.by_federates_with,
        by_hint: filter.by_hint,
        by_downstream: filter.by_downstream,
    })
}

fn id(text: &str, name: &str) -> Result<Option<Spiffeid>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = arguments::spiffe_id(text);
    id.map(Some).map_err(|error| format!("error parsing {name} {}: {error}", go_quote(text)))
}

fn unknown(behavior: &str) -> String {
    format!("match behavior {} unknown", go_quote(behavior))
}

fn selectors(flags: &FlagSet) -> Result<Option<SelectorMatch>, String> {
    let (texts, word) = (flags.texts("selector"), flags.text("matchSelectorsOn"));
    if texts.is_empty() {
        return Ok(None);
    }
    let behavior = match_behavior::of_selectors(word).ok_or_else(|| unknown(word))?;
    let selectors = texts.iter().map(|text| arguments::selector(text)).collect::<Result<_, _>>();
    let selectors = selectors.map_err(|error| format!("error parsing selectors: {error}"))?;
    Ok(Some(SelectorMatch { selectors, r#match: behavior.into() }))
}

fn federates_with(flags: &FlagSet) -> Result<Option<FederatesWithMatch>, String> {
    let (domains, word) = (flags.texts("federatesWith"), flags.text("matchFederatesWithOn"));
    if domains.is_empty() {
        return Ok(None);
    }
    let behavior = match_behavior::of_federates_with(word).ok_or_else(|| unknown(word))?;
    Ok(Some(FederatesWithMatch { trust_domains: domains.to_vec(), r#match: behavior.into() }))
}
