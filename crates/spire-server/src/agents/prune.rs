use std::sync::Arc;
use std::time::Duration;

use spire_config::duration::GoDuration;
use spire_runtime::{Chain, Shutdown, SystemRandom, jittered};

use crate::core::Core;
use crate::settings::PruneAgents;

/// An hour, give or take a quarter (SA-387).
const EVERY: Duration = Duration::from_secs(3600);

/// Forgets agents that expired long ago, until `shutdown`. What was pruned is in the datastore's lines.
pub async fn prune_when_due(core: Arc<Core>, settings: PruneAgents, shutdown: Shutdown) {
    let interval = Duration::from_secs(jittered(&SystemRandom, EVERY, 0.25).as_secs());
    let retry_interval = GoDuration::from(interval);
    tracing::info!(
        expired_for = %GoDuration::from(settings.expired_for),
        include_tofu = settings.include_non_reattestable,
        retry_interval = %retry_interval,
        subsystem_name = "node_manager",
        "Periodic prune of expired nodes started"
    );
    while shutdown.unless_cancelled(core.clock.sleep(interval)).await.is_some() {
        let before = core.clock.now() - settings.expired_for;
        let pruned =
            core.datastore.prune_agents(before, settings.include_non_reattestable, settings.batch_size).await;
        if let Err(error) = pruned {
            tracing::error!(
                error = %Chain(&error),
                retry_interval = %retry_interval,
                subsystem_name = "node_manager",
                "Failed during periodic pruning of expired nodes"
            );
        }
    }
}
