//! Conditions of a list or count as SQL on `registered_entries`.

use spire_types::{MatchBehavior, Selector, TrustDomain};

use super::ListEntries;
use crate::Result;
use crate::dialect::Dialect;
use crate::error::{Code, DatastoreError};
use crate::sql::Query;

pub(super) fn check(filter: &ListEntries) -> Result<()> {
    if filter.by_selectors.as_ref().is_some_and(|(selectors, _)| selectors.is_empty()) {
        return Err(DatastoreError::status(Code::InvalidArgument, "cannot list by empty selector set"));
    }
    Ok(())
}

/// Appends ` WHERE true AND …`. Selector matches EXACT and SUBSET come out as a superset of what matches, unless
/// `exact` asks for everything to be decided here; a page must be cut before they are (SA-358).
pub(super) fn conditions(query: &mut Query, filter: &ListEntries, dialect: Dialect, exact: bool) {
    query.push(" WHERE true");
    if let Some(spiffe_id) = &filter.by_spiffe_id {
        query.push(" AND spiffe_id = ?").add(spiffe_id.to_string());
    }
    if let Some(parent_id) = &filter.by_parent_id {
        let column = match filter.by_spiffe_id.is_some() {
            true => dialect.without_index("parent_id"),
            false => "parent_id".into(),
        };
        query.push(" AND ").push(&column).push(" = ?").add(parent_id.to_string());
    }
    if let Some(hint) = filter.by_hint.as_deref().filter(|hint| !hint.is_empty()) {
        query.push(" AND hint = ?").add(hint);
    }
    if let Some((selectors, behavior)) = &filter.by_selectors {
        by_selectors(query, selectors, *behavior, exact);
    }
    if let Some((domains, behavior)) = &filter.by_federates_with {
        let mut ids: Vec<String> = domains.iter().map(TrustDomain::id_string).collect();
        ids.sort_unstable();
        ids.dedup();
        by_federates_with(query, &ids, *behavior);
    }
}

fn by_selectors(query: &mut Query, selectors: &[Selector], behavior: MatchBehavior, exact: bool) {
    const ONE: &str = "SELECT registered_entry_id FROM selectors WHERE type = ? AND value = ?";
    match behavior {
        MatchBehavior::Exact | MatchBehavior::Superset => {
            for selector in selectors {
                query.push(" AND id IN (").push(ONE).push(")").add(selector.kind()).add(selector.value());
            }
        }
        MatchBehavior::Subset | MatchBehavior::Any => {
            query.push(" AND id IN (");
            for (index, selector) in selectors.iter().enumerate() {
                query.push(if index == 0 { "" } else { " UNION " }).push(ONE);
                query.add(selector.kind()).add(selector.value());
            }
            query.push(")");
        }
    }
    if exact && matches!(behavior, MatchBehavior::Exact | MatchBehavior::Subset) {
        query.push(
            " AND NOT EXISTS (SELECT 1 FROM selectors s WHERE s.registered_entry_id = registered_entries.id",
        );
        for selector in selectors {
            query.push(" AND NOT (s.type = ? AND s.value = ?)").add(selector.kind()).add(selector.value());
        }
        query.push(")");
    }
}

fn by_federates_with(query: &mut Query, ids: &[String], behavior: MatchBehavior) {
    const FROM: &str = "SELECT f.registered_entry_id FROM federated_registration_entries f JOIN bundles b ON b.id = f.bundle_id";
    if ids.is_empty() {
        return;
    }
    match behavior {
        MatchBehavior::Exact | MatchBehavior::Superset => {
            for id in ids {
                query.push(" AND id IN (").push(FROM).push(" WHERE b.trust_domain = ?)").add(id.as_str());
            }
        }
        MatchBehavior::Subset | MatchBehavior::Any => {
            query.push(" AND id IN (").push(FROM).push(" WHERE b.trust_domain IN (");
            query.push_list(ids.iter().map(String::as_str)).push("))");
        }
    }
    if matches!(behavior, MatchBehavior::Exact | MatchBehavior::Subset) {
        query
            .push(" AND NOT EXISTS (")
            .push(FROM)
            .push(" WHERE f.registered_entry_id = registered_entries.id AND b.trust_domain NOT IN (");
        query.push_list(ids.iter().map(String::as_str)).push("))");
    }
}
