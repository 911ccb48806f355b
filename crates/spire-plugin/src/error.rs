use std::fmt;

/// The kinds of failure that reach a gRPC caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Unimplemented,
    Internal,
    Unavailable,
    Unauthenticated,
}

impl Code {
    /// Go's name of the code, as in `code = NotFound`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "Canceled",
            Self::Unknown => "Unknown",
            Self::InvalidArgument => "InvalidArgument",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::PermissionDenied => "PermissionDenied",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::FailedPrecondition => "FailedPrecondition",
            Self::Unimplemented => "Unimplemented",
            Self::Internal => "Internal",
            Self::Unavailable => "Unavailable",
            Self::Unauthenticated => "Unauthenticated",
        }
    }
}

/// What a plugin answers when it cannot do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    pub code: Code,
    pub message: String,
}

impl PluginError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// `<type>(<name>): ` in front, once (NA-020, PL-014).
    #[must_use]
    pub fn of(mut self, kind: &str, name: &str) -> Self {
        let prefix = format!("{}({name}): ", kind.to_lowercase());
        if !self.message.starts_with(&prefix) {
            let rest = self.message.strip_prefix(&format!("{name}: ")).unwrap_or(&self.message);
            self.message = format!("{prefix}{rest}");
        }
        self
    }

    /// As Go prints a gRPC status.
    pub fn rpc_text(&self) -> String {
        format!("rpc error: code = {} desc = {}", self.code.name(), self.message)
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PluginError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugins_name_stands_in_front_once() {
        // NA-020
        let error = PluginError::internal("x509pop: no").of("NodeAttestor", "x509pop");
        assert_eq!(error.message, "nodeattestor(x509pop): no");
        assert_eq!(error.clone().of("NodeAttestor", "x509pop"), error);
    }
}
