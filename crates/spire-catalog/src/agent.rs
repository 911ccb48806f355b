use spire_config::PluginConfig;
use spire_plugin::agent::{NodeAttestor, WorkloadAttestor};
use spire_plugin::{BuiltIn, KeyManager, PluginContext};

use crate::error::CatalogError;
use crate::live::Live;
use crate::loader::{Count, Loaded, Loader, log_disabled, refuse_external_join_token, unsupported};
use crate::reconfigure::Reconfigurer;

/// What is linked into an agent.
#[derive(Debug, Clone, Copy)]
pub struct AgentBuiltIns {
    pub key_managers: &'static [BuiltIn<dyn KeyManager>],
    pub node_attestors: &'static [BuiltIn<dyn NodeAttestor>],
    pub workload_attestors: &'static [BuiltIn<dyn WorkloadAttestor>],
}

/// What runs in an agent.
#[derive(Debug)]
pub struct AgentPlugins {
    pub key_manager: Live<dyn KeyManager>,
    pub node_attestor: Live<dyn NodeAttestor>,
    /// In the order of the configuration.
    pub workload_attestors: Vec<Live<dyn WorkloadAttestor>>,
    pub reconfigurer: Reconfigurer,
    loaded: Loaded,
}

/// What of the plugins an agent calls.
type Parts = (Live<dyn KeyManager>, Live<dyn NodeAttestor>, Vec<Live<dyn WorkloadAttestor>>);

/// AG-085
const COUNTS: &[(&str, Count)] = &[
    ("KeyManager", Count::ExactlyOne),
    ("NodeAttestor", Count::ExactlyOne),
    ("SVIDStore", Count::Any),
    ("WorkloadAttestor", Count::AtLeastOne),
];

/// SVID stores, of which none is built.
const NONE: &[BuiltIn<dyn KeyManager>] = &[];

impl AgentPlugins {
    /// Loads the plugins in their order; the first failure is returned.
    pub fn load(
        configs: &[PluginConfig],
        built_ins: AgentBuiltIns,
        context: &PluginContext,
    ) -> Result<Self, CatalogError> {
        refuse_external_join_token(configs)?;
        let mut loader = Loader::new(context);
        let parts = Self::load_all(configs, built_ins, &mut loader);
        let (key_manager, node_attestor, workload_attestors) =
            parts.inspect_err(|_| loader.loaded.unload())?;
        let Loader { reconfigurer, loaded, .. } = loader;
        Ok(Self { key_manager, node_attestor, workload_attestors, reconfigurer, loaded })
    }

    fn load_all(
        configs: &[PluginConfig],
        built_ins: AgentBuiltIns,
        loader: &mut Loader<'_>,
    ) -> Result<Parts, CatalogError> {
        let (mut key_managers, mut node_attestors, mut workload_attestors) =
            (Vec::new(), Vec::new(), Vec::new());
        for config in configs {
            let Some((kind, _)) = COUNTS.iter().find(|(kind, _)| *kind == config.kind) else {
                return Err(unsupported(config));
            };
            if !config.enabled {
                log_disabled(config);
                continue;
            }
            match *kind {
                "KeyManager" => key_managers.push(loader.load(kind, config, built_ins.key_managers)?),
                "NodeAttestor" => node_attestors.push(loader.load(kind, config, built_ins.node_attestors)?),
                "WorkloadAttestor" => {
                    workload_attestors.push(loader.load(kind, config, built_ins.workload_attestors)?);
                }
                _ => {
                    loader.load(kind, config, NONE)?;
                }
            }
        }
        let found = [key_managers.len(), node_attestors.len(), 0, workload_attestors.len()];
        for ((kind, count), found) in COUNTS.iter().zip(found) {
            if let Some(reason) = count.violated(found) {
                return Err(CatalogError::Constraint { kind, reason });
            }
        }
        match (key_managers.pop(), node_attestors.pop()) {
            (Some(key_manager), Some(node_attestor)) => Ok((key_manager, node_attestor, workload_attestors)),
            _ => Err(CatalogError::Load { name: "KeyManager".to_owned(), reason: "none".to_owned() }),
        }
    }

    /// Says that the plugins are gone.
    pub fn log_closed(&self) {
        self.loaded.close();
    }
}
