//! What loading is the same for every type of plugin.

use spire_config::{PluginConfig, PluginData};
use spire_plugin::{BuiltIn, PluginContext};
use spire_runtime::logging::{LogLevel, emit};

use crate::data;
use crate::error::CatalogError;
use crate::known::missing;
use crate::live::Live;
use crate::reconfigure::Reconfigurer;

/// How many plugins of a type there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    ExactlyOne,
    AtLeastOne,
    AtMostOne,
    Any,
}

impl Count {
    /// Upstream's words when it is not so (SC-139, AG-085).
    pub(crate) fn violated(self, count: usize) -> Option<String> {
        let expected = match (self, count) {
            (Self::ExactlyOne, 1) | (Self::AtLeastOne, 1..) | (Self::AtMostOne, 0 | 1) | (Self::Any, _) => {
                return None;
            }
            (Self::ExactlyOne, _) => "exactly 1",
            (Self::AtLeastOne, _) => "at least 1",
            (Self::AtMostOne, _) => "at most 1",
        };
        Some(format!("expected {expected} but got {count}"))
    }
}

pub(crate) struct Loader<'a> {
    pub context: &'a PluginContext,
    pub reconfigurer: Reconfigurer,
    pub loaded: Loaded,
}

/// Type and name of what was loaded, in this order.
#[derive(Debug, Default)]
pub(crate) struct Loaded(Vec<(&'static str, String)>);

impl Loaded {
    /// Says that the plugins are gone, the last one first; what they held goes with the values.
    pub(crate) fn unload(&self) {
        for (kind, name) in self.0.iter().rev() {
            for (level, message) in [
                (LogLevel::Debug, "Unloading plugin"),
                (LogLevel::Debug, "Plugin deinitialized"),
                (LogLevel::Info, "Plugin unloaded"),
            ] {
                let fields = [
                    ("external", false.into()),
                    ("plugin_name", name.as_str().into()),
                    ("plugin_type", (*kind).into()),
                    ("subsystem_name", "catalog".into()),
                ];
                emit(level, message, &fields);
            }
        }
    }

    pub(crate) fn close(&self) {
        tracing::debug!(subsystem_name = "catalog", "Closing catalog");
        self.unload();
        tracing::info!(subsystem_name = "catalog", "Catalog closed");
    }
}

/// `join_token` is part of the programs themselves (SC-141, AG-087).
pub(crate) fn refuse_external_join_token(configs: &[PluginConfig]) -> Result<(), CatalogError> {
    let external = |c: &&PluginConfig| {
        c.kind == "NodeAttestor" && c.name == "join_token" && c.enabled && !c.command.is_empty()
    };
    match configs.iter().find(external) {
        Some(_) => Err(CatalogError::ExternalJoinToken),
        None => Ok(()),
    }
}

pub(crate) fn unsupported(config: &PluginConfig) -> CatalogError {
    tracing::error!(
        external = !config.command.is_empty(),
        plugin_name = config.name,
        plugin_type = config.kind,
        subsystem_name = "catalog",
        "Unsupported plugin type"
    );
    CatalogError::UnsupportedType(config.kind.clone())
}

pub(crate) fn log_disabled(config: &PluginConfig) {
    tracing::debug!(
        external = !config.command.is_empty(),
        plugin_name = config.name,
        plugin_type = config.kind,
        subsystem_name = "catalog",
        "Not loading plugin; disabled"
    );
}

/// What is wrong with a plugin that is a program; a checksum can be judged without running it (SC-137).
fn external(checksum: &str) -> String {
    match (
        checksum.len(),
        checksum.bytes().all(|b| b.is_ascii_hexdigit()) && checksum.len().is_multiple_of(2),
    ) {
        (0 | 64, true) => {
            "failed to launch plugin: external plugins (plugin_cmd) are not built in this version".to_owned()
        }
        (_, false) => "checksum is not a valid hex string".to_owned(),
        (length, true) => format!("expected checksum of length 64; got {length}"),
    }
}

/// The built-in of that name, or why there is none.
pub(crate) fn find<T: ?Sized>(
    config: &PluginConfig,
    built_ins: &[BuiltIn<T>],
) -> Result<BuiltIn<T>, CatalogError> {
    let load = |reason: String| CatalogError::Load { name: config.name.clone(), reason };
    if !config.command.is_empty() {
        return Err(load(external(&config.checksum)));
    }
    let found = built_ins.iter().find(|built_in| built_in.name == config.name);
    found.copied().ok_or_else(|| load(missing(&config.kind, &config.name)))
}

impl<'a> Loader<'a> {
    pub(crate) fn new(context: &'a PluginContext) -> Self {
        Self { context, reconfigurer: Reconfigurer::default(), loaded: Loaded::default() }
    }

    /// Finds, builds and logs one plugin.
    pub(crate) fn load<T: ?Sized + Send + Sync + 'static>(
        &mut self,
        kind: &'static str,
        config: &PluginConfig,
        built_ins: &[BuiltIn<T>],
    ) -> Result<Live<T>, CatalogError> {
        let name = &config.name;
        let loaded = find(config, built_ins).and_then(|built_in| {
            self.loaded.0.push((kind, name.clone()));
            self.build(kind, config, built_in)
        });
        match &loaded {
            Ok(_) => tracing::info!(
                external = false,
                plugin_name = name,
                plugin_type = kind,
                subsystem_name = "catalog",
                "Plugin loaded"
            ),
            Err(error) => {
                let (message, reason) = match error {
                    CatalogError::Configure { reason, .. } => ("Failed to configure plugin", reason.clone()),
                    CatalogError::Load { reason, .. } => ("Failed to load plugin", reason.clone()),
                    other => ("Failed to load plugin", other.to_string()),
                };
                tracing::error!(
                    error = reason,
                    external = !config.command.is_empty(),
                    plugin_name = name,
                    plugin_type = kind,
                    subsystem_name = "catalog",
                    "{message}"
                );
            }
        }
        loaded
    }

    fn build<T: ?Sized + Send + Sync + 'static>(
        &self,
        kind: &'static str,
        config: &PluginConfig,
        built_in: BuiltIn<T>,
    ) -> Result<Live<T>, CatalogError> {
        let configure = |reason: String| CatalogError::Configure { name: config.name.clone(), reason };
        if !built_in.configurable && config.data != PluginData::None {
            return Err(configure("no supported configuration interface found".to_owned()));
        }
        let loaded = data::load(&config.data).map_err(configure)?;
        let instance =
            (built_in.build)(self.context, &loaded.object).map_err(|error| configure(error.rpc_text()))?;
        let live = Live::new(kind, &config.name, instance);
        let dynamic = matches!(config.data, PluginData::File(_));
        if built_in.configurable {
            log_configured(kind, &config.name, dynamic.then_some(loaded.hash.as_str()));
        }
        if dynamic {
            let (context, data) = (self.context.clone(), config.data.clone());
            self.reconfigurer.watch(live.clone(), kind, built_in, context, data, loaded.hash);
        }
        Ok(live)
    }
}

fn log_configured(kind: &str, name: &str, hash: Option<&str>) {
    match hash {
        Some(hash) => tracing::info!(
            external = false,
            hash,
            plugin_name = name,
            plugin_type = kind,
            reconfigurable = true,
            subsystem_name = "catalog",
            "Configured plugin"
        ),
        None => tracing::info!(
            external = false,
            plugin_name = name,
            plugin_type = kind,
            reconfigurable = false,
            subsystem_name = "catalog",
            "Configured plugin"
        ),
    }
}

/// All that is wrong with one plugin's data (SC-405); `Err` stops the validation.
pub(crate) fn notes<T: ?Sized>(
    context: &PluginContext,
    config: &PluginConfig,
    built_ins: &[BuiltIn<T>],
) -> Result<Vec<String>, CatalogError> {
    let built_in = find(config, built_ins)?;
    if let PluginData::File(path) = &config.data
        && let Err(text) = data::read(path)
    {
        return Ok(vec![format!("failed to read plugin configuration: {text}")]);
    }
    if !built_in.configurable {
        return Ok(Vec::new());
    }
    Ok(match data::load(&config.data) {
        Ok(loaded) => (built_in.validate)(context, &loaded.object),
        Err(text) => {
            vec![text.strip_prefix("rpc error: code = InvalidArgument desc = ").unwrap_or(&text).to_owned()]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_unloaded_in_reverse_order() {
        // AG-202, SC-511: the lines tell an operator how far the start or the stop came.
        let log = spire_runtime::logging::capture();
        let loaded =
            Loaded(vec![("KeyManager", "disk".to_owned()), ("NodeAttestor", "join_token".to_owned())]);
        loaded.close();
        let lines: Vec<String> = log
            .lines()
            .iter()
            .filter(|line| line.level == LogLevel::Info)
            .map(|line| format!("{} {}", line.message, line.field("plugin_name")))
            .collect();
        assert_eq!(lines, ["Plugin unloaded join_token", "Plugin unloaded disk", "Catalog closed "]);
    }
}
