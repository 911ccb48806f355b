//! Listing and counting agents (SA-343).

use std::collections::HashMap;

use spire_types::{AttestedAgent, MatchBehavior, Selector};

use super::{ListAgents, read, select};
use crate::Result;
use crate::dialect::Dialect;
use crate::error::{Code, DatastoreError};
use crate::page::{self, Cut, TokenError};
use crate::sql::{Query, Row};
use crate::store::Datastore;
use crate::transaction::Tx;

/// SPIFFE IDs per statement.
const CHUNK: usize = 500;

/// So many conditions stand side by side; SQLite refuses a chain of a thousand.
const GROUP: usize = 30;

impl Datastore {
    /// Agents in row order, and the token of the next page (SA-019).
    pub async fn list_agents(&self, request: &ListAgents) -> Result<(Vec<AttestedAgent>, String)> {
        let mut cut = match &request.page {
            Some(page) if page.size == 0 => page::cut(Some(page), TokenError::Plain)?,
            page => {
                check(request)?;
                page::cut(page.as_ref(), TokenError::Plain)?
            }
        };
        let mut tx = self.begin_read().await?;
        loop {
            let mut query = select();
            conditions(&mut query, request, tx.dialect(), false);
            if let Some(after) = cut.and_then(|cut| cut.after) {
                query.push(" AND id > ?").add(after);
            }
            query.push(" ORDER BY id");
            if let Some(cut) = cut {
                query.push(" LIMIT ?").add(cut.limit);
            }
            let mut rows = tx.all(query, read).await?;
            let last = rows.last().map(|(id, _)| *id);
            let token = page::next_token(cut.is_some(), last);
            let matched_in_memory = match &request.by_selectors {
                Some((wanted, MatchBehavior::Exact | MatchBehavior::Subset)) => Some(wanted),
                _ => None,
            };
            if request.fetch_selectors || matched_in_memory.is_some() {
                add_selectors(&mut tx, &mut rows).await?;
            }
            if let Some(wanted) = matched_in_memory {
                let any = !rows.is_empty();
                rows.retain(|(_, agent)| agent.selectors.iter().all(|selector| wanted.contains(selector)));
                // A page of which nothing is left must not look like the end.
                if let (true, true, Some(Cut { limit, .. }), Some(last)) = (any, rows.is_empty(), cut, last) {
                    cut = Some(Cut { after: Some(last), limit });
                    continue;
                }
            }
            let keep = request.fetch_selectors;
            let agents = rows.into_iter().map(|(_, mut agent)| {
                if !keep {
                    agent.selectors = Vec::new();
                }
                agent
            });
            return Ok((agents.collect(), token));
        }
    }

    /// Those of the given agents that there are, with their selectors, in one round trip.
    pub async fn fetch_agents(&self, spiffe_ids: &[String]) -> Result<Vec<AttestedAgent>> {
        let mut agents = Vec::with_capacity(spiffe_ids.len());
        for chunk in spiffe_ids.chunks(CHUNK) {
            let ids = || chunk.iter().map(String::as_str);
            let mut query = select();
            query.push(" WHERE spiffe_id IN (").push_list(ids()).push(") ORDER BY id;");
            push_selectors(&mut query, ids());
            let mut selectors = HashMap::new();
            let read = |statement: usize, row: Row<'_>| match statement {
                0 => read(row).map(|(_, agent)| agents.push(agent)),
                _ => add_selector(&mut selectors, row),
            };
            self.read_snapshot(query, read).await?;
            for agent in &mut agents {
                agent.selectors.extend(selectors.remove(&agent.spiffe_id).unwrap_or_default());
            }
        }
        Ok(agents)
    }

    /// How many agents match.
    pub async fn count_agents(&self, request: &ListAgents) -> Result<u64> {
        check(request)?;
        let mut tx = self.begin_read().await?;
        let mut query = Query::build();
        query.push("SELECT count(*) FROM attested_node_entries");
        conditions(&mut query, request, tx.dialect(), true);
        let count = tx.first(query, |row| row.int(0)).await?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn check(request: &ListAgents) -> Result<()> {
    if request.by_selectors.as_ref().is_some_and(|(selectors, _)| selectors.is_empty()) {
        return Err(DatastoreError::status(Code::InvalidArgument, "cannot list by empty selectors set"));
    }
    Ok(())
}

/// As for entries: EXACT and SUBSET are only decided here if `exact` says so.
fn conditions(query: &mut Query, request: &ListAgents, dialect: Dialect, exact: bool) {
    query.push(" WHERE true");
    if let Some(before) = request.by_expires_before {
        query.push(" AND expires_at < ?").add(dialect.time(before));
    }
    if let Some(at) = request.valid_at {
        query.push(" AND expires_at >= ?").add(dialect.time(at));
    }
    if let Some(kind) = request.by_attestation_type.as_deref().filter(|kind| !kind.is_empty()) {
        query.push(" AND data_type = ?").add(kind);
    }
    if let Some(banned) = request.by_banned {
        query.push(if banned { " AND serial_number = ''" } else { " AND serial_number <> ''" });
    }
    if let Some(can_reattest) = request.by_can_reattest {
        query.push(if can_reattest { " AND can_reattest = true" } else { " AND can_reattest = false" });
    }
    if let Some((selectors, behavior)) = &request.by_selectors {
        by_selectors(query, selectors, *behavior, exact);
    }
}

fn by_selectors(query: &mut Query, selectors: &[Selector], behavior: MatchBehavior, exact: bool) {
    const SELECTED: &str = "spiffe_id IN (SELECT spiffe_id FROM node_resolver_map_entries WHERE ";
    let pairs = || selectors.iter().map(|selector| (selector.kind(), selector.value()));
    match behavior {
        MatchBehavior::Exact | MatchBehavior::Superset => {
            for group in selectors.chunks(GROUP) {
                query.push(" AND (true");
                for selector in group {
                    query.push(" AND ").push(SELECTED).push("type = ? AND value = ?)");
                    query.add(selector.kind()).add(selector.value());
                }
                query.push(")");
            }
        }
        MatchBehavior::Subset | MatchBehavior::Any => {
            query.push(" AND ").push(SELECTED).push("(type, value) IN (").push_pairs(pairs()).push("))");
        }
    }
    if exact && matches!(behavior, MatchBehavior::Exact | MatchBehavior::Subset) {
        query.push(
            " AND NOT EXISTS (SELECT 1 FROM node_resolver_map_entries s \
             WHERE s.spiffe_id = attested_node_entries.spiffe_id AND (s.type, s.value) NOT IN (",
        );
        query.push_pairs(pairs()).push("))");
    }
}

async fn add_selectors(tx: &mut Tx, agents: &mut [(i64, AttestedAgent)]) -> Result<()> {
    for chunk in agents.chunks_mut(CHUNK) {
        let mut query = Query::build();
        push_selectors(&mut query, chunk.iter().map(|(_, agent)| agent.spiffe_id.as_str()));
        let mut found = HashMap::with_capacity(chunk.len());
        tx.each(query, |_, row| add_selector(&mut found, row)).await?;
        for (_, agent) in chunk {
            agent.selectors = found.remove(&agent.spiffe_id).unwrap_or_default();
        }
    }
    Ok(())
}

fn push_selectors<'a>(query: &mut Query, spiffe_ids: impl Iterator<Item = &'a str>) {
    query.push("SELECT spiffe_id, type, value FROM node_resolver_map_entries WHERE spiffe_id IN (");
    query.push_list(spiffe_ids).push(") ORDER BY spiffe_id, type, value");
}

fn add_selector(found: &mut HashMap<String, Vec<Selector>>, row: Row<'_>) -> Result<()> {
    let selector = Selector::unchecked(row.text(1)?, row.text(2)?);
    match found.get_mut(row.text(0)?) {
        Some(selectors) => selectors.push(selector),
        None => drop(found.insert(row.text(0)?.to_owned(), vec![selector])),
    }
    Ok(())
}
