use parking_lot::Mutex;
use spire_config::PluginData;
use spire_plugin::{BuiltIn, PluginContext};

use crate::data::{self, Loaded};
use crate::live::Live;

/// Reads the data files of plugins again when told to (SC-511, AG-088).
#[derive(Default)]
pub struct Reconfigurer {
    plugins: Mutex<Vec<Box<dyn Reload>>>,
}

impl std::fmt::Debug for Reconfigurer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reconfigurer({} plugins)", self.plugins.lock().len())
    }
}

trait Reload: Send {
    fn reload(&mut self);
}

impl Reconfigurer {
    pub(crate) fn watch<T: ?Sized + Send + Sync + 'static>(
        &self,
        live: Live<T>,
        kind: &'static str,
        built_in: BuiltIn<T>,
        context: PluginContext,
        data: PluginData,
        hash: String,
    ) {
        self.plugins.lock().push(Box::new(Watched { live, kind, built_in, context, data, hash }));
    }

    /// Each plugin whose file changed is built anew and takes the place of
    /// the old one; when that fails the old one stays.
    pub fn reconfigure(&self) {
        for plugin in self.plugins.lock().iter_mut() {
            plugin.reload();
        }
    }
}

struct Watched<T: ?Sized> {
    live: Live<T>,
    kind: &'static str,
    built_in: BuiltIn<T>,
    context: PluginContext,
    data: PluginData,
    hash: String,
}

impl<T: ?Sized> Watched<T> {
    fn attempt(&self) -> Result<Option<String>, String> {
        let Loaded { object, hash } = data::load(&self.data)?;
        if hash == self.hash {
            return Ok(None);
        }
        let instance = (self.built_in.build)(&self.context, &object).map_err(|error| error.rpc_text())?;
        self.live.replace(instance);
        Ok(Some(hash))
    }
}

impl<T: ?Sized + Send + Sync> Reload for Watched<T> {
    fn reload(&mut self) {
        let (name, kind) = (self.live.name().to_owned(), self.kind);
        match self.attempt() {
            Ok(None) => tracing::info!(
                external = false,
                hash = self.hash,
                plugin_name = name,
                plugin_type = kind,
                subsystem_name = "catalog",
                "Plugin not reconfigured since the config is unchanged"
            ),
            Ok(Some(hash)) => {
                tracing::info!(
                    external = false,
                    new_hash = hash,
                    old_hash = self.hash,
                    plugin_name = name,
                    plugin_type = kind,
                    subsystem_name = "catalog",
                    "Plugin reconfigured"
                );
                self.hash = hash;
            }
            Err(error) => tracing::error!(
                error,
                external = false,
                plugin_name = name,
                plugin_type = kind,
                subsystem_name = "catalog",
                "Failed to reconfigure plugin"
            ),
        }
    }
}
