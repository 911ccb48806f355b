use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::AgentEntry;

/// Keeps one item per non-empty hint: that of the oldest entry (AG-481, CA-444). The entries of the others go to
/// `ignored`.
pub(super) fn without_duplicates<T>(
    items: Vec<T>,
    entry: impl Fn(&T) -> &Arc<AgentEntry>,
    ignored: &mut Vec<Arc<AgentEntry>>,
) -> Vec<T> {
    let mut oldest: HashMap<&str, usize> = HashMap::new();
    let mut dropped = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let this = entry(item);
        if this.hint.is_empty() {
            continue;
        }
        let Some(other) = oldest.get_mut(this.hint.as_str()) else {
            oldest.insert(&this.hint, index);
            continue;
        };
        let loser = match by_age(this, entry(&items[*other])) {
            Ordering::Less => std::mem::replace(other, index),
            _ => index,
        };
        ignored.push(entry(&items[loser]).clone());
        dropped.push(loser);
    }
    if dropped.is_empty() {
        return items;
    }
    items
        .into_iter()
        .enumerate()
        .filter(|(index, _)| !dropped.contains(index))
        .map(|(_, item)| item)
        .collect()
}

fn by_age(a: &AgentEntry, b: &AgentEntry) -> Ordering {
    a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id))
}
