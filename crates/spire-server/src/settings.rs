use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use spire_authority::CredentialSettings;
use spire_config::PluginConfig;
use spire_net::incoming::TrustedNetworks;
use spire_net::tls::TlsPolicy;
use spire_runtime::health::HealthSettings;
use spire_types::{SpiffeId, TrustDomain};

/// Everything that an operator can say and this version honours, resolved.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub trust_domain: TrustDomain,
    /// Made when it is not there.
    pub data_dir: PathBuf,
    pub bind_address: SocketAddr,
    pub socket_path: PathBuf,
    pub credentials: CredentialSettings,
    /// Callers that count as administrators, of any trust domain.
    pub admin_ids: Vec<SpiffeId>,
    pub audit_log_enabled: bool,
    /// One attestation a second and address (SA-183).
    pub limit_attestation: bool,
    /// 500 signatures a second and address (SA-184).
    pub limit_signing: bool,
    pub events_based_cache: bool,
    pub cache_reload_interval: Duration,
    pub full_cache_reload_interval: Duration,
    pub prune_events_older_than: Duration,
    pub event_timeout: Duration,
    /// A policy engine is asked for without saying which: the start fails (SC-091).
    pub empty_policy_engine: bool,
    /// How old knowledge about an agent may be that an API call trusts (SA-251).
    pub max_attested_node_info_staleness: Duration,
    pub prune_agents: Option<PruneAgents>,
    /// Adds `spiffe_id:<agent>` to the selectors of every agent (SA-051).
    pub agent_spiffe_id_as_selector: bool,
    /// Where PROXY protocol headers are believed.
    pub trusted_proxies: Option<TrustedNetworks>,
    pub tls_policy: TlsPolicy,
    pub health: HealthSettings,
    /// The datastore's among them.
    pub plugins: Vec<PluginConfig>,
}

/// Which agents are forgotten, and when (SA-387).
#[derive(Debug, Clone)]
pub struct PruneAgents {
    pub expired_for: Duration,
    pub batch_size: u32,
    /// Those, too, that cannot attest again.
    pub include_non_reattestable: bool,
}
