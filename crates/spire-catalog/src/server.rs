use std::collections::BTreeMap;

use spire_config::PluginConfig;
use spire_plugin::server::NodeAttestor;
use spire_plugin::{BuiltIn, KeyManager, PluginContext};

use crate::Notes;
use crate::error::CatalogError;
use crate::live::Live;
use crate::loader::{
    Count, Loaded, Loader, find, log_disabled, notes, refuse_external_join_token, unsupported,
};
use crate::reconfigure::Reconfigurer;

/// What is linked into a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerBuiltIns {
    pub key_managers: &'static [BuiltIn<dyn KeyManager>],
    pub node_attestors: &'static [BuiltIn<dyn NodeAttestor>],
}

/// What runs in a server.
#[derive(Debug)]
pub struct ServerPlugins {
    pub key_manager: Live<dyn KeyManager>,
    pub node_attestors: BTreeMap<String, Live<dyn NodeAttestor>>,
    pub reconfigurer: Reconfigurer,
    loaded: Loaded,
}

/// What of the plugins a server calls.
type Parts = (Live<dyn KeyManager>, BTreeMap<String, Live<dyn NodeAttestor>>);

/// The types of a server besides the datastore (SC-131, SC-139).
const COUNTS: &[(&str, Count)] = &[
    ("BundlePublisher", Count::Any),
    ("CredentialComposer", Count::Any),
    ("KeyManager", Count::ExactlyOne),
    ("NodeAttestor", Count::Any),
    ("Notifier", Count::Any),
    ("UpstreamAuthority", Count::AtMostOne),
];

/// Plugins of types of which none is built.
const NONE: &[BuiltIn<dyn KeyManager>] = &[];

impl ServerPlugins {
    /// Loads the plugins in their order; the first failure is returned.
    /// The datastore's configuration is not looked at.
    pub fn load(
        configs: &[PluginConfig],
        built_ins: ServerBuiltIns,
        context: &PluginContext,
    ) -> Result<Self, CatalogError> {
        refuse_external_join_token(configs)?;
        let mut loader = Loader::new(context);
        let parts = Self::load_all(configs, built_ins, &mut loader);
        let (key_manager, node_attestors) = parts.inspect_err(|_| loader.loaded.unload())?;
        let Loader { reconfigurer, loaded, .. } = loader;
        Ok(Self { key_manager, node_attestors, reconfigurer, loaded })
    }

    fn load_all(
        configs: &[PluginConfig],
        built_ins: ServerBuiltIns,
        loader: &mut Loader<'_>,
    ) -> Result<Parts, CatalogError> {
        let mut key_managers = Vec::new();
        let mut node_attestors = BTreeMap::new();
        for config in configs.iter().filter(|config| config.kind != "DataStore") {
            let Some((kind, _)) = COUNTS.iter().find(|(kind, _)| *kind == config.kind) else {
                return Err(unsupported(config));
            };
            if !config.enabled {
                log_disabled(config);
                continue;
            }
            match *kind {
                "KeyManager" => key_managers.push(loader.load(kind, config, built_ins.key_managers)?),
                "NodeAttestor" => {
                    let attestor = loader.load(kind, config, built_ins.node_attestors)?;
                    node_attestors.insert(config.name.clone(), attestor);
                }
                _ => {
                    loader.load(kind, config, NONE)?;
                }
            }
        }
        let constraint = |kind: &'static str, count: Count, found: usize| match count.violated(found) {
            Some(reason) => Err(CatalogError::Constraint { kind, reason }),
            None => Ok(()),
        };
        constraint("KeyManager", Count::ExactlyOne, key_managers.len())?;
        match key_managers.pop() {
            Some(key_manager) => Ok((key_manager, node_attestors)),
            None => Err(CatalogError::Load { name: "KeyManager".to_owned(), reason: "none".to_owned() }),
        }
    }

    /// Says that the plugins are gone; what they held goes with the values.
    pub fn close(self) {
        self.loaded.close();
    }

    /// All problems of all plugins, without doing anything (SC-405, SC-406).
    pub fn validate(
        configs: &[PluginConfig],
        built_ins: ServerBuiltIns,
        context: &PluginContext,
    ) -> Result<Notes, CatalogError> {
        refuse_external_join_token(configs)?;
        let mut all = Notes::new();
        let mut counts = vec![0usize; COUNTS.len()];
        for config in configs.iter().filter(|config| config.kind != "DataStore") {
            let Some(place) = COUNTS.iter().position(|(kind, _)| *kind == config.kind) else {
                return Err(CatalogError::UnsupportedType(config.kind.clone()));
            };
            if !config.enabled {
                continue;
            }
            let found = match COUNTS[place].0 {
                "KeyManager" => notes(context, config, built_ins.key_managers)?,
                "NodeAttestor" => notes(context, config, built_ins.node_attestors)?,
                _ => {
                    find(config, NONE)?;
                    Vec::new()
                }
            };
            let unreadable = found.iter().any(|note| note.starts_with("failed to read plugin configuration"));
            if !found.is_empty() {
                all.push((format!("{} {:?}", config.kind, config.name), found));
            }
            counts[place] += usize::from(!unreadable);
        }
        for ((kind, count), found) in COUNTS.iter().zip(counts) {
            if let Some(reason) = count.violated(found) {
                all.push(((*kind).to_owned(), vec![format!("constraint not satisfied: {reason}")]));
            }
        }
        Ok(all)
    }
}
