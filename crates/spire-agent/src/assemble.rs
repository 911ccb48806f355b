//! Puts an agent together, in the order in which things need each other (AG-202).

use std::os::unix::fs::DirBuilderExt;

use spire_catalog::{AgentBuiltIns, AgentPlugins};
use spire_plugin::PluginContext;
use spire_runtime::logging::LogHandle;
use spire_runtime::{SharedClock, Shutdown, build_info};

use crate::error::AgentError;
use crate::settings::AgentSettings;

/// Runs an agent until `shutdown`, or until something fails.
pub async fn run(
    settings: AgentSettings,
    built_ins: AgentBuiltIns,
    _log: LogHandle,
    clock: SharedClock,
    shutdown: Shutdown,
) -> Result<(), AgentError> {
    let data_dir = settings.data_dir.display().to_string();
    tracing::info!(data_dir, version = build_info::VERSION, "Starting agent");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&settings.data_dir);
    made.map_err(|error| AgentError::DataDir {
        path: data_dir,
        reason: spire_runtime::logging::os_error_text(&error),
    })?;
    let context = PluginContext { trust_domain: settings.trust_domain.clone(), clock };
    let plugins = AgentPlugins::load(&settings.plugins, built_ins, &context)?;
    shutdown.cancelled().await;
    plugins.log_closed();
    Ok(())
}
