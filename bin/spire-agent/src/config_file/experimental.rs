//! `experimental {}` (AG-052 to AG-060).

use std::time::Duration;

use spire_agent::RateLimits;
use spire_config::duration::{self, GoDuration};

use super::raw::RawExperimental;

const MIN_JWT_TIMEOUT: GoDuration = GoDuration::from_secs(5);
/// As long as a call without a copy in the cache may take.
const MAX_JWT_TIMEOUT: GoDuration = GoDuration::from_secs(30);

/// AG-052: zero is the default.
pub(super) fn sync_interval(raw: &RawExperimental) -> Result<GoDuration, String> {
    match raw.sync_interval.as_str() {
        "" => Ok(GoDuration::default()),
        text => duration::parse(text)
            .map_err(|error| format!("could not parse synchronization interval: {error}")),
    }
}

/// AG-054
pub(super) fn jwt_timeout(raw: &RawExperimental) -> Result<Option<Duration>, String> {
    if raw.jwt_svid_cache_hit_timeout.is_empty() {
        return Ok(None);
    }
    let timeout = duration::parse(&raw.jwt_svid_cache_hit_timeout)
        .map_err(|error| format!("could not parse jwt_svid_cache_hit_timeout: {error}"))?;
    if timeout < MIN_JWT_TIMEOUT {
        return Err(format!("jwt_svid_cache_hit_timeout ({timeout}) must be greater than {MIN_JWT_TIMEOUT}"));
    }
    if timeout >= MAX_JWT_TIMEOUT {
        return Err(format!("jwt_svid_cache_hit_timeout ({timeout}) must be less than {MAX_JWT_TIMEOUT}"));
    }
    tracing::warn!("The use of 'jwt_svid_cache_hit_timeout' is experimental");
    Ok(Some(timeout.to_std()))
}

/// AG-053
pub(super) fn warn_of_entry_sync(raw: &RawExperimental) {
    if raw.use_sync_authorized_entries.is_some() {
        tracing::warn!(
            alert = true,
            alert_type = "deprecated_config",
            "The 'use_sync_authorized_entries' configuration is deprecated. The option to disable it will be removed \
             in SPIRE 1.13."
        );
    }
}

/// AG-058
pub(super) fn rate_limits(raw: &RawExperimental) -> Result<RateLimits, String> {
    let mut limits = RateLimits::default();
    for (key, limit) in &raw.rate_limits.0 {
        if *limit < 0 {
            return Err(format!("experimental.ratelimit.{key} must not be negative"));
        }
        // Beyond four billion calls a second nothing is limited.
        let limit = u32::try_from(*limit).unwrap_or(0);
        match *key {
            "fetch_x509_svid" => limits.fetch_x509_svid = limit,
            "fetch_jwt_svid" => limits.fetch_jwt_svid = limit,
            "fetch_x509_bundles" => limits.fetch_x509_bundles = limit,
            "fetch_jwt_bundles" => limits.fetch_jwt_bundles = limit,
            // SDS, which is not built in this version.
            _ => {}
        }
    }
    Ok(limits)
}

/// AG-060
pub(super) fn warn(raw: &RawExperimental) {
    if *raw != RawExperimental::default() {
        tracing::warn!(
            "Experimental features have been enabled. Please see doc/upgrading.md for upgrade and compatibility \
             considerations for experimental features."
        );
    }
    for flag in &raw.feature_flags {
        tracing::warn!("Developer feature flag {flag:?} has been enabled");
    }
}
