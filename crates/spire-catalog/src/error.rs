/// Why the plugins could not be loaded (SC-131 to SC-146, AG-083 to AG-089).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("unsupported plugin type {0:?}")]
    UnsupportedType(String),
    #[error("failed to load plugin {name:?}: {reason}")]
    Load { name: String, reason: String },
    #[error("failed to configure plugin {name:?}: {reason}")]
    Configure { name: String, reason: String },
    #[error("plugin type {kind:?} constraint not satisfied: {reason}")]
    Constraint { kind: &'static str, reason: String },
    #[error("the built-in join_token node attestor cannot be overridden by an external plugin")]
    ExternalJoinToken,
}
