//! `-matchSelectorsOn` and `-matchFederatesWithOn` (SC-256, SC-273).

use spire_proto::types::federates_with_match::MatchBehavior as FederatesWithBehavior;
use spire_proto::types::selector_match::MatchBehavior as SelectorBehavior;

/// What to do with a usage text's word for it; `None` for another word.
pub(super) fn of_selectors(word: &str) -> Option<SelectorBehavior> {
    Some(match word {
        "exact" => SelectorBehavior::MatchExact,
        "any" => SelectorBehavior::MatchAny,
        "superset" => SelectorBehavior::MatchSuperset,
        "subset" => SelectorBehavior::MatchSubset,
        _ => return None,
    })
}

pub(super) fn of_federates_with(word: &str) -> Option<FederatesWithBehavior> {
    Some(match word {
        "exact" => FederatesWithBehavior::MatchExact,
        "any" => FederatesWithBehavior::MatchAny,
        "superset" => FederatesWithBehavior::MatchSuperset,
        "subset" => FederatesWithBehavior::MatchSubset,
        _ => return None,
    })
}

pub(super) const SELECTORS_USAGE: &str =
    "The match mode used when filtering by selectors. Options: exact, any, superset and subset";
pub(super) const FEDERATES_WITH_USAGE: &str =
    "The match mode used when filtering by federates with. Options: exact, any, superset and subset";
pub(super) const DEFAULT: &str = "superset";
