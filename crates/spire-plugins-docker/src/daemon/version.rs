use std::fmt;

/// A version of the daemon's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: i64,
    minor: i64,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid API version ({text}): {reason}")]
pub struct BadVersion {
    text: String,
    reason: &'static str,
}

impl ApiVersion {
    /// The newest that SPIRE's library of Docker speaks, which is also used when the daemon does not say.
    pub const NEWEST: Self = Self { major: 1, minor: 55 };
    /// The oldest that is agreed upon.
    const OLDEST: Self = Self { major: 1, minor: 40 };

    /// What an operator wrote; nothing asks for the version to be agreed upon (PL-071).
    pub fn pinned(text: &str) -> Result<Option<Self>, BadVersion> {
        let text = text.trim();
        match text.strip_prefix('v').unwrap_or(text) {
            "" => Ok(None),
            number => {
                Self::parse(number).map(Some).map_err(|reason| BadVersion { text: text.to_owned(), reason })
            }
        }
    }

    /// What to speak with a daemon that names this version as its newest; `None` if there is no common one.
    pub fn agreed(newest_of_daemon: &str) -> Option<Self> {
        if newest_of_daemon.is_empty() {
            return Some(Self::NEWEST);
        }
        let theirs = Self::parse(newest_of_daemon).ok()?;
        (theirs >= Self::OLDEST).then(|| theirs.min(Self::NEWEST))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((major, minor)) = text.split_once('.').filter(|_| !text.starts_with('v')) else {
            return Err("must be formatted <major>.<minor>");
        };
        let major = major.parse().map_err(|_| "invalid major version: must be formatted <major>.<minor>")?;
        let minor = minor.parse().map_err(|_| "invalid minor version: must be formatted <major>.<minor>")?;
        Ok(Self { major, minor })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_may_pin_a_version() {
        // PL-071
        for (text, outcome) in [
            ("", Ok(None)),
            (" v ", Ok(None)),
            ("1.20", Ok(Some("1.20"))),
            (" v1.041 ", Ok(Some("1.41"))),
            ("1", Err("invalid API version (1): must be formatted <major>.<minor>")),
            ("vv1.2", Err("invalid API version (vv1.2): must be formatted <major>.<minor>")),
            (
                "x.2",
                Err("invalid API version (x.2): invalid major version: must be formatted <major>.<minor>"),
            ),
            (
                "1.2.3",
                Err("invalid API version (1.2.3): invalid minor version: must be formatted <major>.<minor>"),
            ),
        ] {
            let parsed = ApiVersion::pinned(text);
            let parsed = parsed.map(|version| version.map(|version| version.to_string()));
            let parsed = parsed.map_err(|error| error.to_string());
            assert_eq!(parsed, outcome.map(|v| v.map(str::to_owned)).map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn the_lower_newest_version_is_agreed_upon() {
        // PL-071
        for (theirs, agreed) in
            [("1.41", Some("1.41")), ("1.99", Some("1.55")), ("", Some("1.55")), ("1.39", None), ("x", None)]
        {
            let version = ApiVersion::agreed(theirs).map(|version| version.to_string());
            assert_eq!(version.as_deref(), agreed, "{theirs:?}");
        }
    }
}
