use spire_types::{MatchBehavior, Selector, TrustDomain};

use crate::types;
use crate::wire_error::ConvertError;

pub fn selector_to_wire(selector: &Selector) -> types::Selector {
    types::Selector { r#type: selector.kind().to_owned(), value: selector.value().to_owned() }
}

pub fn selectors_to_wire(selectors: &[Selector]) -> Vec<types::Selector> {
    selectors.iter().map(selector_to_wire).collect()
}

/// Checks each selector (SA-027).
pub fn selectors(wire: &[types::Selector]) -> Result<Vec<Selector>, ConvertError> {
    wire.iter().map(|s| Ok(Selector::new(&s.r#type, &s.value)?)).collect()
}

/// The behavior of a selector filter; `None` for a number that is none (SA-028).
pub fn selector_match_behavior(number: i32) -> Option<MatchBehavior> {
    use types::selector_match::MatchBehavior as Wire;
    Some(match Wire::try_from(number).ok()? {
        Wire::MatchExact => MatchBehavior::Exact,
        Wire::MatchSubset => MatchBehavior::Subset,
        Wire::MatchSuperset => MatchBehavior::Superset,
        Wire::MatchAny => MatchBehavior::Any,
    })
}

/// The behavior of a federates-with filter; `None` for a number that is none.
pub fn federates_with_match_behavior(number: i32) -> Option<MatchBehavior> {
    use types::federates_with_match::MatchBehavior as Wire;
    Some(match Wire::try_from(number).ok()? {
        Wire::MatchExact => MatchBehavior::Exact,
        Wire::MatchSubset => MatchBehavior::Subset,
        Wire::MatchSuperset => MatchBehavior::Superset,
        Wire::MatchAny => MatchBehavior::Any,
    })
}

/// The trust domains of a federates-with filter.
pub fn trust_domains(wire: &[String]) -> Result<Vec<TrustDomain>, ConvertError> {
    wire.iter().map(|text| Ok(TrustDomain::parse(text)?)).collect()
}
