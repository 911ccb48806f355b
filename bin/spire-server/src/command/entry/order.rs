//! The order in which entries are shown (SC-259).

use std::cmp::Ordering;

use spire_proto::types::{Entry, Selector, Spiffeid};

/// Sorts the selectors of each entry, then the entries.
pub(super) fn sort(entries: &mut [Entry]) {
    for entry in entries.iter_mut() {
        entry.selectors.sort_by(selector);
    }
    entries.sort_by(compare);
}

fn selector(a: &Selector, b: &Selector) -> Ordering {
    (&a.r#type, &a.value).cmp(&(&b.r#type, &b.value))
}

fn compare(a: &Entry, b: &Entry) -> Ordering {
    id(a.spiffe_id.as_ref())
        .cmp(&id(b.spiffe_id.as_ref()))
        .then_with(|| id(a.parent_id.as_ref()).cmp(&id(b.parent_id.as_ref())))
        .then_with(|| (a.x509_svid_ttl, a.jwt_svid_ttl).cmp(&(b.x509_svid_ttl, b.jwt_svid_ttl)))
        .then_with(|| a.selectors.len().cmp(&b.selectors.len()))
        .then_with(|| {
            let pairs = a.selectors.iter().zip(&b.selectors);
            pairs.map(|(a, b)| selector(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        })
}

fn id(id: Option<&Spiffeid>) -> Option<(&str, &str)> {
    id.map(|id| (id.trust_domain.as_str(), id.path.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, path: &str, ttl: i32, selectors: &[&str]) -> Entry {
        let selector = |value: &&str| Selector { r#type: "unix".into(), value: (*value).to_owned() };
        Entry {
            id: name.into(),
            spiffe_id: Some(Spiffeid { trust_domain: "td".into(), path: path.into() }),
            x509_svid_ttl: ttl,
            selectors: selectors.iter().map(selector).collect(),
            ..Entry::default()
        }
    }

    #[test]
    fn ids_lifetimes_and_selectors_decide_in_turn() {
        // SC-259
        let mut entries = [
            entry("5", "/b", 0, &[]),
            entry("4", "/a", 1, &[]),
            entry("3", "/a", 0, &["b", "a"]),
            entry("2", "/a", 0, &["z"]),
            entry("1", "/a", 0, &["y"]),
        ];
        sort(&mut entries);
        assert_eq!(entries.each_ref().map(|entry| entry.id.as_str()), ["1", "2", "3", "4", "5"]);
        assert_eq!(entries[2].selectors[0].value, "a");
    }
}
