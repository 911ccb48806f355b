//! Conditions of a list or count as SQL on `registered_entries`.

use spire_types::{MatchBehavior, Selector, TrustDomain};

use super::ListEntries;
use crate::Result;
use crate::dialect::Dialect;
use crate::error::{Code, DatastoreError};
use crate::sql::{Query, Value};
use crate::transaction::Tx;

pub(super) fn check(filter: &ListEntries) -> Result<()> {
    if filter.by_selectors.as_ref().is_some_and(|(selectors, _)| selectors.is_empty()) {
        return Err(DatastoreError::status(Code::InvalidArgument, "cannot list by empty selector set"));
    }
    Ok(())
}

/// Which condition's index leads to the rows; the others are checked on each. Without statistics a database may
/// follow a selector that every entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// Whatever the database likes; there is at most one index to choose.
    Any,
    SpiffeId,
    Parent,
    Hint,
    /// The selector at that position.
    Selector(usize),
    /// Any of the selectors.
    Selectors,
}

/// Rows looked at to find out which condition is the rarest.
const PROBE: u32 = 1000;

/// Finds the condition with the fewest rows.
pub(super) async fn driver(tx: &mut Tx, filter: &ListEntries) -> Result<Driver> {
    if filter.by_spiffe_id.is_some() {
        return Ok(Driver::SpiffeId);
    }
    let mut probes: Vec<(Driver, Vec<(&str, Value)>)> = Vec::new();
    if let Some(parent) = &filter.by_parent_id {
        probes.push((
            Driver::Parent,
            vec![("SELECT 1 FROM registered_entries WHERE parent_id = ?", parent.to_string().into())],
        ));
    }
    if let Some(hint) = filter.by_hint.as_deref().filter(|hint| !hint.is_empty()) {
        probes.push((Driver::Hint, vec![("SELECT 1 FROM registered_entries WHERE hint = ?", hint.into())]));
    }
    const SELECTOR: &str = "SELECT 1 FROM selectors WHERE type = ? AND value = ?";
    if let Some((selectors, behavior)) = &filter.by_selectors {
        match behavior {
            MatchBehavior::Exact | MatchBehavior::Superset => {
                for (index, selector) in selectors.iter().enumerate() {
                    let values = vec![(SELECTOR, selector.kind().into()), ("", selector.value().into())];
                    probes.push((Driver::Selector(index), values));
                }
            }
            MatchBehavior::Subset | MatchBehavior::Any => probes.push((Driver::Selectors, Vec::new())),
        }
    }
    let [_, _, ..] = probes[..] else {
        return Ok(probes.first().map_or(Driver::Any, |(driver, _)| *driver));
    };
    let mut query = Query::build();
    query.push("SELECT ");
    for (index, (_, parts)) in probes.iter().enumerate() {
        query.push(if index == 0 { "" } else { ", " });
        // A union is not counted: it counts as common.
        query
            .push("(SELECT count(*) FROM (")
            .push(parts.first().map_or("SELECT 1 WHERE false", |(text, _)| *text));
        query.push(" LIMIT ?) probe)");
        for (_, value) in parts {
            query.add(value.clone());
        }
        query.add(PROBE);
    }
    let mut counts = vec![i64::from(PROBE); probes.len()];
    tx.each(query, |_, row| {
        for (index, (_, parts)) in probes.iter().enumerate() {
            if !parts.is_empty() {
                counts[index] = row.int(index)?;
            }
        }
        Ok(())
    })
    .await?;
    let rarest = counts.iter().enumerate().min_by_key(|(_, count)| **count).map_or(0, |(index, _)| index);
    Ok(probes[rarest].0)
}

/// Appends ` WHERE true AND …`. Selector matches EXACT and SUBSET come out as a superset of what matches, unless
/// `exact` asks for everything to be decided here; a page must be cut before they are (SA-358).
pub(super) fn conditions(
    query: &mut Query,
    filter: &ListEntries,
    dialect: Dialect,
    driver: Driver,
    exact: bool,
) {
    let column = |name: &'static str, drives: bool| match drives {
        true => name.into(),
        false => dialect.without_index(name),
    };
    query.push(" WHERE true");
    if let Some(spiffe_id) = &filter.by_spiffe_id {
        query.push(" AND spiffe_id = ?").add(spiffe_id.to_string());
    }
    if let Some(parent_id) = &filter.by_parent_id {
        let column = column("parent_id", driver == Driver::Parent);
        query.push(" AND ").push(&column).push(" = ?").add(parent_id.to_string());
    }
    if let Some(hint) = filter.by_hint.as_deref().filter(|hint| !hint.is_empty()) {
        query.push(" AND ").push(&column("hint", driver == Driver::Hint)).push(" = ?").add(hint);
    }
    if filter.by_downstream == Some(true) {
        query.push(" AND downstream = true");
    }
    if let Some((selectors, behavior)) = &filter.by_selectors {
        by_selectors(query, selectors, *behavior, driver, exact);
    }
    if let Some((domains, behavior)) = &filter.by_federates_with {
        let mut ids: Vec<String> = domains.iter().map(TrustDomain::id_string).collect();
        ids.sort_unstable();
        ids.dedup();
        by_federates_with(query, &ids, *behavior);
    }
}

/// So many conditions stand side by side; SQLite refuses a chain of a thousand.
const GROUP: usize = 30;

fn by_selectors(
    query: &mut Query,
    selectors: &[Selector],
    behavior: MatchBehavior,
    driver: Driver,
    exact: bool,
) {
    const OWN: &str =
        "EXISTS (SELECT 1 FROM selectors s WHERE s.registered_entry_id = registered_entries.id AND ";
    match behavior {
        MatchBehavior::Exact | MatchBehavior::Superset => {
            let numbered: Vec<_> = selectors.iter().enumerate().collect();
            for group in numbered.chunks(GROUP) {
                query.push(" AND (true");
                for (index, selector) in group {
                    query.push(" AND ");
                    match driver {
                        Driver::Selector(drives) if drives == *index => query.push(
                            "id IN (SELECT registered_entry_id FROM selectors WHERE type = ? AND value = ?)",
                        ),
                        _ => query.push(OWN).push("s.type = ? AND s.value = ?)"),
                    };
                    query.add(selector.kind()).add(selector.value());
                }
                query.push(")");
            }
        }
        MatchBehavior::Subset | MatchBehavior::Any if driver == Driver::Selectors => {
            query.push(" AND id IN (SELECT registered_entry_id FROM selectors WHERE (type, value) IN (");
            query.push_pairs(pairs(selectors)).push("))");
        }
        MatchBehavior::Subset | MatchBehavior::Any => {
            query.push(" AND ").push(OWN).push("(s.type, s.value) IN (");
            query.push_pairs(pairs(selectors)).push("))");
        }
    }
    if exact && matches!(behavior, MatchBehavior::Exact | MatchBehavior::Subset) {
        query.push(" AND NOT ").push(OWN).push("(s.type, s.value) NOT IN (");
        query.push_pairs(pairs(selectors)).push("))");
    }
}

fn pairs(selectors: &[Selector]) -> impl ExactSizeIterator<Item = (&str, &str)> {
    selectors.iter().map(|selector| (selector.kind(), selector.value()))
}

/// `ids` without repeats.
fn by_federates_with(query: &mut Query, ids: &[String], behavior: MatchBehavior) {
    const FROM: &str = "SELECT f.registered_entry_id FROM federated_registration_entries f JOIN bundles b ON b.id = f.bundle_id";
    if ids.is_empty() {
        return;
    }
    query.push(" AND id IN (").push(FROM).push(" WHERE b.trust_domain IN (");
    query.push_list(ids.iter().map(String::as_str)).push(")");
    if ids.len() > 1 && matches!(behavior, MatchBehavior::Exact | MatchBehavior::Superset) {
        query.push(" GROUP BY f.registered_entry_id HAVING count(*) = ?");
        query.add(u32::try_from(ids.len()).unwrap_or(u32::MAX));
    }
    query.push(")");
    if matches!(behavior, MatchBehavior::Exact | MatchBehavior::Subset) {
        query
            .push(" AND NOT EXISTS (")
            .push(FROM)
            .push(" WHERE f.registered_entry_id = registered_entries.id AND b.trust_domain NOT IN (");
        query.push_list(ids.iter().map(String::as_str)).push("))");
    }
}
