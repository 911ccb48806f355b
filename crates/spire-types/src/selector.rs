use std::fmt;

/// A fact about a node or workload, printed `type:value` (`unix:uid:1000`).
///
/// The type has no colon and neither part is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    kind: Box<str>,
    value: Box<str>,
}

/// Why a selector was refused (SA-027).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("missing selector type")]
    MissingType,
    #[error("selector type contains ':'")]
    ColonInType,
    #[error("missing selector value")]
    MissingValue,
    /// SC-231
    #[error("selector \"{0}\" must be formatted as type:value")]
    Format(String),
}

impl Selector {
    pub fn new(kind: &str, value: &str) -> Result<Self, SelectorError> {
        if kind.is_empty() {
            return Err(SelectorError::MissingType);
        }
        if kind.contains(':') {
            return Err(SelectorError::ColonInType);
        }
        if value.is_empty() {
            return Err(SelectorError::MissingValue);
        }
        Ok(Self { kind: kind.into(), value: value.into() })
    }

    /// A selector as some database row or older peer holds it, without checks;
    /// for reading what cannot be refused any more.
    pub fn unchecked(kind: &str, value: &str) -> Self {
        Self { kind: kind.into(), value: value.into() }
    }

    /// Splits `type:value` at the first colon.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        match text.split_once(':') {
            Some((kind, value)) => Ok(Self::unchecked(kind, value)),
            None => Err(SelectorError::Format(text.to_owned())),
        }
    }

    pub fn kind(&self) -> &str {
        &self.kind
    }

    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

/// How a filter's set relates to a record's set (SA-029, SA-030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchBehavior {
    /// Both sets are the same.
    Exact,
    /// All of the record's items are in the filter, at least one of them.
    Subset,
    /// The record has all items of the filter.
    Superset,
    /// At least one item is in both.
    Any,
}

impl MatchBehavior {
    /// Decides the match by set membership; duplicates play no part.
    pub fn matches<T: PartialEq>(self, record: &[T], filter: &[T]) -> bool {
        let within = |inner: &[T], outer: &[T]| inner.iter().all(|item| outer.contains(item));
        match self {
            Self::Exact => within(record, filter) && within(filter, record),
            Self::Subset => !record.is_empty() && within(record, filter),
            Self::Superset => within(filter, record),
            Self::Any => record.iter().any(|item| filter.contains(item)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_splits_at_the_first_colon() {
        let selector = Selector::parse("unix:uid:1000").unwrap();
        assert_eq!((selector.kind(), selector.value()), ("unix", "uid:1000"));
        assert_eq!(selector.to_string(), "unix:uid:1000");
        assert_eq!(
            Selector::parse("unix").unwrap_err().to_string(),
            "selector \"unix\" must be formatted as type:value"
        );
    }

    #[test]
    fn the_four_behaviors_compare_sets() {
        use MatchBehavior::{Any, Exact, Subset, Superset};
        for (behavior, record, filter, expected) in [
            (Exact, vec![1, 2], vec![2, 1, 1], true),
            (Exact, vec![1], vec![1, 2], false),
            (Subset, vec![1], vec![1, 2], true),
            (Subset, vec![], vec![1], false),
            (Subset, vec![1, 3], vec![1, 2], false),
            (Superset, vec![1, 2, 3], vec![1, 2], true),
            (Superset, vec![1], vec![1, 2], false),
            (Any, vec![1, 9], vec![9], true),
            (Any, vec![1], vec![9], false),
        ] {
            assert_eq!(behavior.matches(&record, &filter), expected, "{behavior:?} {record:?} {filter:?}");
        }
    }
}
