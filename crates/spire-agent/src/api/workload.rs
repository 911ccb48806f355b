//! The SPIFFE Workload API (AG-481 to AG-499).

mod claims;
mod service;
mod streams;
mod tokens;

use std::collections::HashSet;
use std::sync::Arc;

use spire_net::local::LocalPeer;
use spire_runtime::logging::{LogLevel, LogValue};
use spire_runtime::{SharedClock, Shutdown};
use spire_types::{Selector, TrustDomain};
use tonic::Status;

pub use service::WorkloadService;

use super::call::Call;
use super::rate_limit::RateLimiter;
use crate::attestation::WorkloadAttestors;
use crate::cache::{AgentEntry, Cache};
use crate::settings::RateLimits;
use crate::sync::Synchronizer;

/// The methods that hand something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    X509Svid,
    X509Bundles,
    JwtSvid,
    JwtBundles,
}

impl Fetch {
    fn name(self) -> &'static str {
        match self {
            Self::X509Svid => "FetchX509SVID",
            Self::X509Bundles => "FetchX509Bundles",
            Self::JwtSvid => "FetchJWTSVID",
            Self::JwtBundles => "FetchJWTBundles",
        }
    }
}

/// What the API needs of the rest of the agent.
#[derive(Debug)]
pub struct WorkloadApi {
    pub trust_domain: TrustDomain,
    pub attestors: WorkloadAttestors,
    pub cache: Arc<Cache>,
    pub synchronizer: Arc<Synchronizer>,
    pub allow_unauthenticated_verifiers: bool,
    pub allowed_foreign_jwt_claims: HashSet<String>,
    pub log_selectors: Vec<String>,
    pub limits: Limits,
    pub clock: SharedClock,
    /// Ends the streams.
    pub shutdown: Shutdown,
}

/// One per method that has a limit.
#[derive(Debug)]
pub struct Limits {
    x509_svid: Option<RateLimiter>,
    x509_bundles: Option<RateLimiter>,
    jwt_svid: Option<RateLimiter>,
    jwt_bundles: Option<RateLimiter>,
}

impl Limits {
    pub fn new(limits: RateLimits, clock: &SharedClock) -> Self {
        let limiter = |fetch: Fetch, rate: u32| {
            let limiter = RateLimiter::new(rate, clock.clone());
            if limiter.is_some() {
                tracing::info!(
                    limit = rate,
                    method = full_name(fetch),
                    subsystem_name = "endpoints",
                    "Workload API/SDS rate limiting enabled"
                );
            }
            limiter
        };
        Self {
            x509_svid: limiter(Fetch::X509Svid, limits.fetch_x509_svid),
            x509_bundles: limiter(Fetch::X509Bundles, limits.fetch_x509_bundles),
            jwt_svid: limiter(Fetch::JwtSvid, limits.fetch_jwt_svid),
            jwt_bundles: limiter(Fetch::JwtBundles, limits.fetch_jwt_bundles),
        }
    }

    fn of(&self, fetch: Fetch) -> Option<&RateLimiter> {
        match fetch {
            Fetch::X509Svid => self.x509_svid.as_ref(),
            Fetch::X509Bundles => self.x509_bundles.as_ref(),
            Fetch::JwtSvid => self.jwt_svid.as_ref(),
            Fetch::JwtBundles => self.jwt_bundles.as_ref(),
        }
    }
}

fn full_name(fetch: Fetch) -> String {
    format!("/SpiffeWorkloadAPI/{}", fetch.name())
}

impl WorkloadApi {
    fn call(&self, method: &'static str, peer: Option<&LocalPeer>) -> Call {
        Call::new("WorkloadAPI", method, peer, &self.clock)
    }

    /// AG-463
    async fn attest(&self, call: &Call, peer: Option<&LocalPeer>) -> Result<Vec<Selector>, Status> {
        self.attestors.attest(peer).await.map_err(|error| {
            call.log(LogLevel::Error, "Workload attestation failed", &[("error", error.to_string().into())]);
            Status::unavailable("workload attestation failed")
        })
    }

    /// AG-468; the agent's own calls are free.
    fn limit(&self, call: &Call, fetch: Fetch, selectors: &[Selector]) -> Result<(), Status> {
        match self.limits.of(fetch) {
            Some(limiter) if !call.is_own() && !limiter.allows(selectors) => {
                Err(Status::unavailable(format!("rate limit exceeded for {}", full_name(fetch))))
            }
            _ => Ok(()),
        }
    }

    /// AG-481
    fn log_ignored(call: &Call, ignored: &[Arc<AgentEntry>], fields: &[(&str, LogValue)]) {
        for entry in ignored {
            let mut all = vec![("entry_id", entry.id.as_ref().into()), ("hint", entry.hint.as_str().into())];
            all.extend_from_slice(fields);
            call.log(LogLevel::Warn, "Ignoring entry with duplicate hint", &all);
        }
    }

    /// AG-482
    fn no_identity(&self, call: &Call, selectors: &[Selector]) -> Status {
        if !call.is_own() {
            let mut fields = vec![("registered", LogValue::Bool(false))];
            let mut shown: Vec<String> = selectors
                .iter()
                .map(ToString::to_string)
                .filter(|text| self.log_selectors.iter().any(|prefix| is_below(text, prefix)))
                .collect();
            if !shown.is_empty() {
                shown.sort_unstable();
                fields.push(("selectors", shown.join(",").into()));
            }
            call.log(LogLevel::Error, "No identity issued", &fields);
        }
        Status::permission_denied("no identity issued")
    }
}

/// The prefix itself, or something behind it and a colon.
fn is_below(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_selectors_may_be_logged() {
        // AG-482: selectors can hold what should not be in a log.
        for (prefix, shown) in [("unix", true), ("unix:uid", true), ("unix:uid:1", true), ("unix:u", false)] {
            assert_eq!(is_below("unix:uid:1", prefix), shown, "{prefix}");
        }
    }
}
