//! `experimental.feature_flags` of server and agent (SC-102, AG-057).

/// What upstream knows, sorted.
const KNOWN: [&str; 2] = ["i_am_a_test_flag", "wit-svid"];

/// Flags that upstream does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error loading feature flags: unknown feature flag(s): [{}]", .0.join(" "))]
pub struct UnknownFlags(Vec<String>);

/// Refuses what upstream does not know.
pub fn check(flags: &[String]) -> Result<(), UnknownFlags> {
    let mut unknown: Vec<String> =
        flags.iter().filter(|flag| !KNOWN.contains(&flag.as_str())).cloned().collect();
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort_unstable();
    Err(UnknownFlags(unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_flags_are_listed_in_their_order() {
        // AG-057
        let flags = ["zz", "wit-svid", "aa"].map(str::to_owned);
        assert_eq!(
            check(&flags).unwrap_err().to_string(),
            "error loading feature flags: unknown feature flag(s): [aa zz]"
        );
        assert_eq!(check(&flags[1..2]), Ok(()));
    }
}
