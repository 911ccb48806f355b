//! Which agents `list` and `count` are about (SC-270 to SC-273).

use spire_cli::FlagSet;
use spire_proto::server::agent::v1::{count_agents_request, list_agents_request};
use spire_proto::types::SelectorMatch;

use super::expires_before;
use crate::command::{arguments, match_behavior};

pub(super) fn flags(flags: &mut FlagSet) {
    flags.list("selector", "A colon-delimited type:value selector. Can be used more than once");
    flags.string("attestationType", "", "Filter by attestation type, like join_token or x509pop.");
    flags.list(
        "canReattest",
        "Filter based on string received, 'true': agents that can reattest, 'false': agents that can't reattest, \
         other value will return all.",
    );
    flags.list(
        "banned",
        "Filter based on string received, 'true': banned agents, 'false': not banned agents, other value will return \
         all.",
    );
    flags.string(
        "expiresBefore",
        "",
        "Filter by expiration time (format: \"2006-01-02 15:04:05 -0700 -07\")",
    );
    flags.string("matchSelectorsOn", match_behavior::DEFAULT, match_behavior::SELECTORS_USAGE);
}

pub(super) fn of_list(flags: &FlagSet) -> Result<list_agents_request::Filter, String> {
    let by_selector_match = selectors(flags)?;
    let by_expires_before = match flags.text("expiresBefore") {
        "" => String::new(),
        text => {
            expires_before::check(text).map_err(|error| format!("date is not valid: {error}"))?;
            text.to_owned()
        }
    };
    Ok(list_agents_request::Filter {
        by_attestation_type: flags.text("attestationType").to_owned(),
        by_selector_match,
        by_banned: choice(flags, "banned"),
        by_can_reattest: choice(flags, "canReattest"),
        by_expires_before,
    })
}

pub(super) fn of_count(flags: &FlagSet) -> Result<count_agents_request::Filter, String> {
    let filter = of_list(flags)?;
    Ok(count_agents_request::Filter {
        by_attestation_type: filter.by_attestation_type,
        by_selector_match: filter.by_selector_match,
        by_banned: filter.by_banned,
        by_can_reattest: filter.by_can_reattest,
        by_expires_before: filter.by_expires_before,
    })
}

fn selectors(flags: &FlagSet) -> Result<Option<SelectorMatch>, String> {
    let texts = flags.texts("selector");
    if texts.is_empty() {
        return Ok(None);
    }
    let behavior = match_behavior::of_selectors(flags.text("matchSelectorsOn"))
        .ok_or_else(|| "unsupported match behavior".to_owned())?;
    let parse = |text: &String| {
        arguments::selector(text).map_err(|error| {
            format!("error parsing selector {}: {error}", spire_runtime::logging::go_quote(text))
        })
    };
    let selectors = texts.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(Some(SelectorMatch { selectors, r#match: behavior.into() }))
}

/// Two exact words filter, all others do not; the last one counts (SC-271).
fn choice(flags: &FlagSet, name: &str) -> Option<bool> {
    match flags.texts(name).last().map(String::as_str) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(args: &[&str]) -> Result<list_agents_request::Filter, String> {
        let mut set = FlagSet::new("agent list");
        flags(&mut set);
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        set.parse(&args).map_err(|error| error.to_string())?;
        of_list(&set)
    }

    #[test]
    fn only_the_exact_words_true_and_false_filter() {
        // SC-271
        assert_eq!(filter(&["-banned", "true"]).unwrap().by_banned, Some(true));
        assert_eq!(filter(&["-banned", "true", "-banned", "false"]).unwrap().by_banned, Some(false));
        assert_eq!(filter(&["-banned", "true", "-banned", "TRUE"]).unwrap().by_banned, None);
        assert_eq!(filter(&[]).unwrap().by_can_reattest, None);
    }

    #[test]
    fn selectors_are_looked_at_only_when_given() {
        // SC-273
        assert_eq!(filter(&["-matchSelectorsOn", "x"]).unwrap().by_selector_match, None);
        for (args, error) in [
            (&["-selector", "a:b", "-matchSelectorsOn", "x"][..], "unsupported match behavior"),
            (
                &["-selector", "a"],
                "error parsing selector \"a\": selector \"a\" must be formatted as type:value",
            ),
        ] {
            assert_eq!(filter(args).unwrap_err(), error);
        }
    }
}
