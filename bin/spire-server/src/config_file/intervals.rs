//! `experimental {}` (SC-090 to SC-104).

use std::time::Duration;

use spire_config::duration;
use spire_runtime::logging::go_quote;

use super::Loaded;
use super::federation::deprecated;
use super::raw::{PolicyEngine, RawExperimental};

pub(super) const CACHE_RELOAD: Duration = Duration::from_secs(5);
pub(super) const FULL_CACHE_RELOAD: Duration = Duration::from_secs(24 * 3600);
pub(super) const PRUNE_EVENTS: Duration = Duration::from_secs(12 * 3600);
pub(super) const EVENT_TIMEOUT: Duration = Duration::from_secs(15 * 60);

pub(super) fn resolve(raw: &RawExperimental, loaded: &mut Loaded) -> Result<(), String> {
    if *raw != RawExperimental::default() {
        tracing::warn!(
            "Experimental features have been enabled. Please see doc/upgrading.md for upgrade and compatibility \
             considerations for experimental features."
        );
    }
    let settings = &mut loaded.settings;
    let interval = |text: &str, what: &str, target: &mut Duration| -> Result<(), String> {
        if !text.is_empty() {
            let value =
                duration::parse(text).map_err(|error| format!("could not parse {what} interval: {error}"))?;
            // Zero is not set (SC-030).
            if value.0 != 0 {
                *target = value.to_std();
            }
        }
        Ok(())
    };
    interval(&raw.cache_reload_interval, "cache reload", &mut settings.cache_reload_interval)?;
    interval(&raw.full_cache_reload_interval, "full cache reload", &mut settings.full_cache_reload_interval)?;
    interval(&raw.prune_events_older_than, "prune events", &mut settings.prune_events_older_than)?;
    if !raw.sql_transaction_timeout.is_empty() {
        deprecated(
            "experimental.sql_transaction_timeout is deprecated, use experimental.event_timeout instead",
        );
    }
    interval(&raw.sql_transaction_timeout, "SQL transaction timeout", &mut settings.event_timeout)?;
    interval(&raw.event_timeout, "event timeout", &mut settings.event_timeout)?;
    if let Some((key, text)) = [
        ("cache_reload_interval", &raw.cache_reload_interval),
        ("prune_events_older_than", &raw.prune_events_older_than),
        ("sql_transaction_timeout", &raw.sql_transaction_timeout),
        ("event_timeout", &raw.event_timeout),
    ]
    .into_iter()
    .find(|(_, text)| duration::parse(text).is_ok_and(|value| value.0 < 0))
    {
        loaded.refused = Some(format!("experimental.{key} must not be negative: {text}"));
    }
    if raw.events_based_cache {
        tracing::info!("Using events based cache");
    }
    if raw.policy_engine == Some(PolicyEngine::Local) {
        loaded.not_built.push("experimental.auth_opa_policy_engine".to_owned());
    }
    for flag in &raw.feature_flags {
        tracing::warn!("Developer feature flag {} has been enabled", go_quote(flag));
        if flag == "wit-svid" {
            tracing::error!(
                "WIT-SVIDs are not built in this version: calls for them answer Unimplemented in spite of the flag"
            );
        }
    }
    Ok(())
}
