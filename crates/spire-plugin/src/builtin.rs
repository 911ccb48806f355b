use std::sync::Arc;

use spire_config::Object;
use spire_runtime::SharedClock;
use spire_types::TrustDomain;

use crate::PluginError;

/// What the host tells every plugin.
#[derive(Debug, Clone)]
pub struct PluginContext {
    pub trust_domain: TrustDomain,
    pub clock: SharedClock,
}

/// A plugin that is linked in.
pub struct BuiltIn<T: ?Sized> {
    pub name: &'static str,
    /// Whether it takes `plugin_data` at all (PL-010).
    pub configurable: bool,
    /// Makes the plugin; the first problem of the configuration is the error.
    pub build: fn(&PluginContext, &Object) -> Result<Arc<T>, PluginError>,
    /// All problems of a configuration, without doing anything (SC-405).
    pub validate: fn(&PluginContext, &Object) -> Vec<String>,
}

impl<T: ?Sized> Clone for BuiltIn<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for BuiltIn<T> {}

impl<T: ?Sized> std::fmt::Debug for BuiltIn<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuiltIn").field("name", &self.name).finish_non_exhaustive()
    }
}
