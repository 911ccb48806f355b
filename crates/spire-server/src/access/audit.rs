//! What is written down about a call (SA-195 to SA-204).

use std::borrow::Cow;

use spire_runtime::logging::LogValue;

/// Fields of an audit line; empty texts and lists are left out by [`text`](Self::text).
#[derive(Debug, Clone, Default)]
pub struct AuditFields(pub Vec<(Cow<'static, str>, LogValue)>);

impl AuditFields {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<LogValue>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Only when there is something to say.
    #[must_use]
    pub fn text(self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        let value = value.into();
        if value.is_empty() { self } else { self.with(name, value) }
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Bytes as an audit line names them; nothing stays nothing.
pub fn digest(bytes: &[u8]) -> String {
    if bytes.is_empty() { String::new() } else { spire_crypto::hash::sha256_hex(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_digest() {
        // SA-201
        assert_eq!(digest(b""), "");
        assert_eq!(digest(b"x").len(), 64);
    }
}
