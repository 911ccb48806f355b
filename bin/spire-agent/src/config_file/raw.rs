//! The file as it is written: every key with its type, nothing resolved (AG-001 to AG-064).

use spire_config::{DecodeError, Fields, Object, UnknownKeys, telemetry_sinks};
use spire_runtime::health::HealthSettings;

use super::broker::{self, RawBroker};

type Decoded<T> = Result<T, DecodeError>;

/// One configuration file.
#[derive(Debug, Default)]
pub(super) struct RawFile {
    pub agent: RawAgent,
    pub plugins: Option<Object>,
    pub telemetry_sinks: Vec<&'static str>,
    pub health: HealthSettings,
    /// In the order in which they are reported.
    pub unknown: Vec<UnknownKeys>,
}

/// `agent {}` (AG-015 to AG-050). Empty means not set.
#[derive(Debug, Default)]
pub(super) struct RawAgent {
    pub admin_socket_path: String,
    pub allow_unauthenticated_verifiers: bool,
    pub allowed_foreign_jwt_claims: Vec<String>,
    pub authorized_delegates: Vec<String>,
    pub availability_target: String,
    pub data_dir: String,
    pub disable_sds_api: bool,
    pub disable_workload_api: bool,
    pub experimental: RawExperimental,
    pub insecure_bootstrap: bool,
    pub join_token: String,
    pub join_token_file: String,
    pub jwt_svid_cache_max_size: i64,
    pub log_file: String,
    pub log_format: String,
    pub log_level: String,
    pub log_selectors: Vec<String>,
    pub log_source_location: bool,
    pub profiling_enabled: bool,
    pub rebootstrap_delay: String,
    pub rebootstrap_mode: String,
    pub sds: RawSds,
    pub server_address: String,
    pub server_port: i64,
    pub socket_path: String,
    pub trust_bundle_format: String,
    pub trust_bundle_path: String,
    pub trust_bundle_spiffe_workload_api: String,
    pub trust_bundle_unix_socket: String,
    pub trust_bundle_url: String,
    pub trust_domain: String,
    pub workload_x509_svid_key_type: String,
    pub x509_svid_cache_max_size: i64,
}

/// `sds {}` (AG-061 to AG-064).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawSds {
    pub default_svid_name: String,
    pub default_bundle_name: String,
    pub default_all_bundles_name: String,
    pub disable_spiffe_cert_validation: bool,
}

/// `experimental {}` (AG-052 to AG-059).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawExperimental {
    pub admin_named_pipe_name: String,
    pub broker: Option<RawBroker>,
    pub feature_flags: Vec<String>,
    pub jwt_svid_cache_hit_timeout: String,
    pub named_pipe_name: String,
    pub rate_limits: RawRateLimits,
    pub require_pq_kem: bool,
    pub sync_interval: String,
    pub use_sync_authorized_entries: Option<bool>,
}

/// `experimental.ratelimit {}`, in the order in which the limits are checked (AG-058).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawRateLimits(pub Vec<(&'static str, i64)>);

const RATE_LIMITS: [&str; 6] = [
    "fetch_x509_svid",
    "fetch_jwt_svid",
    "fetch_x509_bundles",
    "fetch_jwt_bundles",
    "stream_secrets",
    "fetch_secrets",
];

/// Unknown keys by the section that reports them.
#[derive(Default)]
struct AgentUnknown {
    agent: Vec<UnknownKeys>,
    rate_limits: Option<UnknownKeys>,
}

/// Reads the types of all keys; what nobody asks for is collected (AG-010, AG-011).
pub(super) fn decode(file: &Object) -> Decoded<RawFile> {
    let mut top = Fields::new(file);
    let mut agent_unknown = AgentUnknown::default();
    let agent = match top.block("agent")? {
        Some(fields) => decode_agent(fields, &mut agent_unknown)?,
        None => RawAgent::default(),
    };
    let plugins = top.first_block("plugins")?;
    let mut telemetry_unknown = Vec::new();
    let telemetry_sinks = match top.block("telemetry")? {
        Some(fields) => telemetry_sinks(fields, &mut telemetry_unknown)?,
        None => Vec::new(),
    };
    let mut health_unknown = None;
    let health = match top.block("health_checks")? {
        Some(fields) => decode_health(fields, &mut health_unknown)?,
        None => HealthSettings::default(),
    };
    let mut unknown: Vec<UnknownKeys> = top.unknown("top-level").into_iter().collect();
    unknown.extend(agent_unknown.agent);
    unknown.extend(telemetry_unknown);
    unknown.extend(health_unknown);
    unknown.extend(agent_unknown.rate_limits);
    Ok(RawFile { agent, plugins, telemetry_sinks, health, unknown })
}

fn decode_agent(mut fields: Fields<'_>, unknown: &mut AgentUnknown) -> Decoded<RawAgent> {
    let mut broker_unknown = Vec::new();
    let experimental = match fields.block("experimental")? {
        Some(fields) => decode_experimental(fields, &mut broker_unknown, &mut unknown.rate_limits)?,
        None => RawExperimental::default(),
    };
    let sds = match fields.block("sds")? {
        Some(fields) => decode_sds(fields)?,
        None => RawSds::default(),
    };
    let agent = RawAgent {
        admin_socket_path: fields.text("admin_socket_path")?,
        allow_unauthenticated_verifiers: fields.flag("allow_unauthenticated_verifiers")?,
        allowed_foreign_jwt_claims: fields.strings("allowed_foreign_jwt_claims")?,
        authorized_delegates: fields.strings("authorized_delegates")?,
        availability_target: fields.text("availability_target")?,
        data_dir: fields.text("data_dir")?,
        disable_sds_api: fields.flag("disable_sds_api")?,
        disable_workload_api: fields.flag("disable_workload_api")?,
        experimental,
        insecure_bootstrap: fields.flag("insecure_bootstrap")?,
        join_token: fields.text("join_token")?,
        join_token_file: fields.text("join_token_file")?,
        jwt_svid_cache_max_size: fields.number("jwt_svid_cache_max_size")?,
        log_file: fields.text("log_file")?,
        log_format: fields.text("log_format")?,
        log_level: fields.text("log_level")?,
        log_selectors: fields.strings("log_selectors")?,
        log_source_location: fields.flag("log_source_location")?,
        profiling_enabled: decode_profiling(&mut fields)?,
        rebootstrap_delay: fields.text("rebootstrap_delay")?,
        rebootstrap_mode: fields.text("rebootstrap_mode")?,
        sds,
        server_address: fields.text("server_address")?,
        server_port: fields.number("server_port")?,
        socket_path: fields.text("socket_path")?,
        trust_bundle_format: fields.text("trust_bundle_format")?,
        trust_bundle_path: fields.text("trust_bundle_path")?,
        trust_bundle_spiffe_workload_api: fields.text("trust_bundle_spiffe_workload_api")?,
        trust_bundle_unix_socket: fields.text("trust_bundle_unix_socket")?,
        trust_bundle_url: fields.text("trust_bundle_url")?,
        trust_domain: fields.text("trust_domain")?,
        workload_x509_svid_key_type: fields.text("workload_x509_svid_key_type")?,
        x509_svid_cache_max_size: fields.number("x509_svid_cache_max_size")?,
    };
    // Upstream's reader knows these two by accident, so files may hold them (SC-028).
    fields.text("configpath")?;
    fields.flag("expandenv")?;
    unknown.agent.extend(fields.unknown("agent"));
    unknown.agent.extend(broker_unknown);
    Ok(agent)
}

fn decode_profiling(fields: &mut Fields<'_>) -> Decoded<bool> {
    fields.number("profiling_port")?;
    fields.number("profiling_freq")?;
    fields.strings("profiling_names")?;
    fields.flag("profiling_enabled")
}

fn decode_sds(mut fields: Fields<'_>) -> Decoded<RawSds> {
    Ok(RawSds {
        default_svid_name: fields.text("default_svid_name")?,
        default_bundle_name: fields.text("default_bundle_name")?,
        default_all_bundles_name: fields.text("default_all_bundles_name")?,
        disable_spiffe_cert_validation: fields.flag("disable_spiffe_cert_validation")?,
    })
}

fn decode_experimental(
    mut fields: Fields<'_>,
    broker_unknown: &mut Vec<UnknownKeys>,
    rate_limits_unknown: &mut Option<UnknownKeys>,
) -> Decoded<RawExperimental> {
    let broker = match fields.block("broker")? {
        Some(fields) => Some(broker::decode(fields, broker_unknown)?),
        None => None,
    };
    let mut rate_limits = RawRateLimits::default();
    if let Some(mut limits) = fields.block("ratelimit")? {
        for key in RATE_LIMITS {
            rate_limits.0.extend(limits.int(key)?.map(|limit| (key, limit)));
        }
        *rate_limits_unknown = limits.unknown("ratelimit");
    }
    Ok(RawExperimental {
        admin_named_pipe_name: fields.text("admin_named_pipe_name")?,
        broker,
        feature_flags: fields.strings("feature_flags")?,
        jwt_svid_cache_hit_timeout: fields.text("jwt_svid_cache_hit_timeout")?,
        named_pipe_name: fields.text("named_pipe_name")?,
        rate_limits,
        require_pq_kem: fields.flag("require_pq_kem")?,
        sync_interval: fields.text("sync_interval")?,
        use_sync_authorized_entries: fields.bool("use_sync_authorized_entries")?,
    })
}

fn decode_health(mut fields: Fields<'_>, unknown: &mut Option<UnknownKeys>) -> Decoded<HealthSettings> {
    let settings = HealthSettings {
        listener_enabled: fields.flag("listener_enabled")?,
        bind_address: fields.text("bind_address")?,
        bind_port: fields.text("bind_port")?,
        live_path: fields.text("live_path")?,
        ready_path: fields.text("ready_path")?,
    };
    *unknown = fields.unknown("health check");
    Ok(settings)
}
