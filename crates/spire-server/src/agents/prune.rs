use std::sync::Arc;
use std::time::Duration;

use spire_runtime::logging::LogValue;
use spire_runtime::{Chain, Shutdown, SystemRandom, jittered};

use crate::core::Core;
use crate::settings::PruneAgents;

/// An hour, give or take a quarter (SA-387).
const EVERY: Duration = Duration::from_secs(3600);

/// Forgets agents that expired long ago, until `shutdown`.
pub async fn prune_when_due(core: Arc<Core>, settings: PruneAgents, shutdown: Shutdown) {
    let interval = jittered(&SystemRandom, EVERY, 0.25);
    while shutdown.unless_cancelled(core.clock.sleep(interval)).await.is_some() {
        let before = core.clock.now() - settings.expired_for;
        let pruned =
            core.datastore.prune_agents(before, settings.include_non_reattestable, settings.batch_size).await;
        match pruned {
            Ok(pruned) if pruned.agents > 0 => {
                tracing::info!(
                    count = LogValue::from(pruned.agents).as_value(),
                    subsystem_name = "node_manager",
                    "Pruned expired agents"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(
                error = %Chain(&error),
                subsystem_name = "node_manager",
                "Failed pruning expired agents"
            ),
        }
    }
}
