//! Registration entries (SA-345..360).

mod attributes;
mod create;
mod delete;
mod filter;
mod list;
mod load;
mod row;
mod update;
mod validate;

use spire_types::{Entry, MatchBehavior, Page, Selector, SpiffeId, TrustDomain};

pub(crate) use delete::{delete_rows, matching_join_token_aliases};

/// Which entries a list or count is about. All given conditions must hold (SA-066, SA-358).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListEntries {
    pub by_parent_id: Option<SpiffeId>,
    pub by_spiffe_id: Option<SpiffeId>,
    pub by_selectors: Option<(Vec<Selector>, MatchBehavior)>,
    pub by_federates_with: Option<(Vec<TrustDomain>, MatchBehavior)>,
    /// An empty hint is no condition (SA-066).
    pub by_hint: Option<String>,
    /// Only `Some(true)` is a condition (SA-067).
    pub by_downstream: Option<bool>,
    pub page: Option<Page>,
}

/// The outcome of a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedEntry {
    pub entry: Entry,
    /// A similar entry was there already; it is what `entry` shows and nothing was written (SA-347).
    pub existing: bool,
}

/// What was just written is answered as the unique indexes hold it; what is read later comes in the order of the rows.
fn in_index_order(entry: &mut spire_types::Entry) {
    entry.selectors.sort_unstable_by(|a, b| (a.kind(), a.value()).cmp(&(b.kind(), b.value())));
    entry.dns_names.sort_unstable();
}
