use std::path::PathBuf;
use std::time::Duration;

use spire_config::PluginConfig;
use spire_crypto::KeyType;
use spire_net::tls::TlsPolicy;
use spire_runtime::health::HealthSettings;
use spire_types::{SpiffeId, TrustDomain};
use zeroize::Zeroizing;

/// Everything that an operator can say and this version honours, resolved and checked (AG-015 to AG-082).
#[derive(Debug, Clone)]
pub struct AgentSettings {
    pub trust_domain: TrustDomain,
    /// Made when it is not there.
    pub data_dir: PathBuf,
    /// Where the server is.
    pub server: ServerAddress,
    /// The Workload API; absolute.
    pub socket_path: PathBuf,
    /// `None` turns the admin API off; absolute.
    pub admin_socket_path: Option<PathBuf>,
    pub disable_workload_api: bool,
    /// SDS is not built in this version; this only decides whether the socket exists without the Workload API (AG-022).
    pub disable_sds_api: bool,
    /// What the server is recognised by before anything else is known.
    pub trust_bundle: TrustBundleSource,
    pub rebootstrap_mode: RebootstrapMode,
    /// How long the server must be unrecognisable before the agent starts over (AG-221).
    pub rebootstrap_delay: Duration,
    /// Replaces the node attestor (AG-230).
    pub join_token: Option<JoinToken>,
    /// Time between two pulls.
    pub sync_interval: Duration,
    /// `false` pulls everything each time (AG-319).
    pub use_sync_authorized_entries: bool,
    /// How much life an SVID must have left for the identity to outlast an outage (AG-352).
    pub availability_target: Option<Duration>,
    /// Keys of workloads; the agent's own is always P-256 (AG-033).
    pub workload_key_type: KeyType,
    /// Soft limit (AG-347).
    pub x509_svid_cache_max_size: usize,
    /// Hard limit (AG-385).
    pub jwt_svid_cache_max_size: usize,
    /// How long a caller waits for a fresh token when the cache has one that still holds (AG-054).
    pub jwt_svid_cache_hit_timeout: Duration,
    /// Bundles are given to callers without an identity, too (AG-037).
    pub allow_unauthenticated_verifiers: bool,
    /// Claims of tokens from elsewhere that a validation may return (AG-495).
    pub allowed_foreign_jwt_claims: Vec<String>,
    /// Kept for the delegated identity API, which is not built in this version.
    pub authorized_delegates: Vec<SpiffeId>,
    /// Selector prefixes that may be logged (AG-482).
    pub log_selectors: Vec<String>,
    pub rate_limits: RateLimits,
    pub tls_policy: TlsPolicy,
    pub health: HealthSettings,
    pub plugins: Vec<PluginConfig>,
}

/// Host and port of the server (AG-016, AG-017).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A DNS name or an IP address without brackets.
    pub host: String,
    pub port: u16,
}

impl ServerAddress {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn target(&self) -> String {
        if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Where the first trust bundle comes from (AG-211). A bundle on disk from an earlier run goes before it (AG-210).
#[derive(Debug, Clone)]
pub enum TrustBundleSource {
    /// `trust_bundle_path`
    File { path: PathBuf, format: BundleFormat },
    /// `trust_bundle_url`, over `trust_bundle_unix_socket` if there is one
    Url { url: String, format: BundleFormat, unix_socket: Option<PathBuf> },
    /// `insecure_bootstrap`
    Insecure,
}

/// `trust_bundle_format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BundleFormat {
    #[default]
    Pem,
    Spiffe,
}

/// `rebootstrap_mode` (AG-029)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RebootstrapMode {
    #[default]
    Never,
    /// If the node can attest again.
    Auto,
    /// The node must be able to attest again.
    Always,
}

/// Worth an identity, so it is never printed.
#[derive(Clone)]
pub struct JoinToken(Zeroizing<String>);

impl JoinToken {
    pub fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinToken(..)")
    }
}

/// Calls a second and set of selectors; 0 is no limit (AG-058).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    pub fetch_x509_svid: u32,
    pub fetch_jwt_svid: u32,
    pub fetch_x509_bundles: u32,
    pub fetch_jwt_bundles: u32,
}

impl AgentSettings {
    /// The defaults of everything that has one (AG-015 to AG-064).
    pub fn new(trust_domain: TrustDomain, server: ServerAddress, trust_bundle: TrustBundleSource) -> Self {
        Self {
            trust_domain,
            data_dir: PathBuf::from("."),
            server,
            socket_path: PathBuf::from("/tmp/spire-agent/public/api.sock"),
            admin_socket_path: None,
            disable_workload_api: false,
            disable_sds_api: false,
            trust_bundle,
            rebootstrap_mode: RebootstrapMode::Never,
            rebootstrap_delay: Duration::from_secs(600),
            join_token: None,
            sync_interval: Duration::from_secs(5),
            use_sync_authorized_entries: true,
            availability_target: None,
            workload_key_type: KeyType::EcP256,
            x509_svid_cache_max_size: 1000,
            jwt_svid_cache_max_size: 1000,
            jwt_svid_cache_hit_timeout: Duration::from_secs(30),
            allow_unauthenticated_verifiers: false,
            allowed_foreign_jwt_claims: Vec::new(),
            authorized_delegates: Vec::new(),
            log_selectors: Vec::new(),
            rate_limits: RateLimits::default(),
            tls_policy: TlsPolicy::default(),
            health: HealthSettings::default(),
            plugins: Vec::new(),
        }
    }
}
