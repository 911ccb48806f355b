//! The file as it is written: every key with its type, nothing resolved (SC-020 to SC-028).

use spire_config::{DecodeError, Fields, Object, UnknownKeys, telemetry_sinks};
use spire_runtime::health::HealthSettings;

use super::federation::{RawFederation, decode_federation};

type Decoded<T> = Result<T, DecodeError>;

/// One configuration file.
#[derive(Debug, Default)]
pub(super) struct RawFile {
    pub server: RawServer,
    pub plugins: Option<Object>,
    pub telemetry_sinks: Vec<&'static str>,
    pub health: HealthSettings,
    /// In the order in which they are reported.
    pub unknown: Vec<UnknownKeys>,
}

/// `server {}` (SC-050 to SC-082). Empty means not set.
#[derive(Debug, Default)]
pub(super) struct RawServer {
    pub admin_ids: Vec<String>,
    pub agent_ttl: String,
    pub audit_log_enabled: bool,
    pub bind_address: String,
    pub bind_port: i64,
    pub ca_key_type: String,
    pub ca_subject: Option<RawSubject>,
    pub ca_ttl: String,
    pub data_dir: String,
    pub default_x509_svid_ttl: String,
    pub default_jwt_svid_ttl: String,
    pub disable_jwt_svids: bool,
    pub experimental: RawExperimental,
    pub federation: Option<RawFederation>,
    pub jwt_issuer: String,
    pub jwt_key_type: String,
    pub log_file: String,
    pub log_level: String,
    pub log_format: String,
    pub log_source_location: bool,
    pub max_attested_node_info_staleness: Option<String>,
    pub profiling_enabled: bool,
    pub proxy_protocol_trusted_cidrs: Vec<String>,
    pub prune_attested_nodes_expired_for: String,
    pub prune_attested_nodes_batch_size: i64,
    pub prune_tofu_nodes: bool,
    pub limit_attestation: Option<bool>,
    pub limit_signing: Option<bool>,
    pub socket_path: String,
    pub trust_domain: String,
}

/// `ca_subject {}` (SC-080).
#[derive(Debug, Default)]
pub(super) struct RawSubject {
    pub country: Vec<String>,
    pub organization: Vec<String>,
    pub common_name: String,
}

/// `auth_opa_policy_engine {}` (SC-091).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PolicyEngine {
    Empty,
    Local,
}

/// `experimental {}` (SC-090 to SC-103).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawExperimental {
    pub agent_spiffe_id_as_selector: bool,
    pub policy_engine: Option<PolicyEngine>,
    pub cache_reload_interval: String,
    pub full_cache_reload_interval: String,
    pub events_based_cache: bool,
    pub prune_events_older_than: String,
    pub event_timeout: String,
    pub sql_transaction_timeout: String,
    pub require_pq_kem: bool,
    pub wit_key_type: String,
    pub wit_issuer: String,
    pub feature_flags: Vec<String>,
    pub named_pipe_name: String,
}

/// Reads the types of all keys; what nobody asks for is collected (SC-181, SC-182).
pub(super) fn decode(file: &Object) -> Decoded<RawFile> {
    let mut top = Fields::new(file);
    let mut unknown = Vec::new();
    let mut server_unknown = Vec::new();
    let server = match top.block("server")? {
        Some(fields) => decode_server(fields, &mut server_unknown)?,
        None => RawServer::default(),
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
    unknown.extend(top.unknown("top-level"));
    unknown.extend(server_unknown);
    unknown.extend(telemetry_unknown);
    unknown.extend(health_unknown);
    Ok(RawFile { server, plugins, telemetry_sinks, health, unknown })
}

fn decode_server(mut fields: Fields<'_>, unknown: &mut Vec<UnknownKeys>) -> Decoded<RawServer> {
    let mut sections = Vec::new();
    let ca_subject = match fields.block("ca_subject")? {
        Some(mut subject) => {
            let raw = RawSubject {
                country: subject.strings("country")?,
                organization: subject.strings("organization")?,
                common_name: subject.text("common_name")?,
            };
            sections.extend(subject.unknown("ca_subject"));
            Some(raw)
        }
        None => None,
    };
    let (mut limit_attestation, mut limit_signing) = (None, None);
    if let Some(mut limits) = fields.block("ratelimit")? {
        limit_attestation = limits.bool("attestation")?;
        limit_signing = limits.bool("signing")?;
        sections.extend(limits.unknown("ratelimit"));
    }
    let experimental = match fields.block("experimental")? {
        Some(fields) => decode_experimental(fields)?,
        None => RawExperimental::default(),
    };
    let federation = match fields.block("federation")? {
        Some(fields) => Some(decode_federation(fields, &mut sections)?),
        None => None,
    };
    let server = RawServer {
        admin_ids: fields.strings("admin_ids")?,
        agent_ttl: fields.text("agent_ttl")?,
        audit_log_enabled: fields.flag("audit_log_enabled")?,
        bind_address: fields.text("bind_address")?,
        bind_port: fields.number("bind_port")?,
        ca_key_type: fields.text("ca_key_type")?,
        ca_subject,
        ca_ttl: fields.text("ca_ttl")?,
        data_dir: fields.text("data_dir")?,
        default_x509_svid_ttl: fields.text("default_x509_svid_ttl")?,
        default_jwt_svid_ttl: fields.text("default_jwt_svid_ttl")?,
        disable_jwt_svids: fields.flag("disable_jwt_svids")?,
        experimental,
        federation,
        jwt_issuer: fields.text("jwt_issuer")?,
        jwt_key_type: fields.text("jwt_key_type")?,
        log_file: fields.text("log_file")?,
        log_level: fields.text("log_level")?,
        log_format: fields.text("log_format")?,
        log_source_location: fields.flag("log_source_location")?,
        max_attested_node_info_staleness: fields.string("max_attested_node_info_staleness")?,
        profiling_enabled: decode_profiling(&mut fields)?,
        proxy_protocol_trusted_cidrs: fields.strings("proxy_protocol_trusted_cidrs")?,
        prune_attested_nodes_expired_for: fields.text("prune_attested_nodes_expired_for")?,
        prune_attested_nodes_batch_size: fields.number("prune_attested_nodes_batch_size")?,
        prune_tofu_nodes: fields.flag("prune_tofu_nodes")?,
        limit_attestation,
        limit_signing,
        socket_path: fields.text("socket_path")?,
        trust_domain: fields.text("trust_domain")?,
    };
    // Upstream's reader knows these two by accident, so files may hold them (SC-028).
    fields.text("configpath")?;
    fields.flag("expandenv")?;
    unknown.extend(fields.unknown("server"));
    unknown.extend(sections);
    Ok(server)
}

fn decode_profiling(fields: &mut Fields<'_>) -> Decoded<bool> {
    fields.number("profiling_port")?;
    fields.number("profiling_freq")?;
    fields.strings("profiling_names")?;
    fields.flag("profiling_enabled")
}

fn decode_experimental(mut fields: Fields<'_>) -> Decoded<RawExperimental> {
    let policy_engine = match fields.block("auth_opa_policy_engine")? {
        Some(mut engine) => Some(match engine.block("local")? {
            Some(mut local) => {
                local.text("rego_path")?;
                local.text("policy_data_path")?;
                PolicyEngine::Local
            }
            None => PolicyEngine::Empty,
        }),
        None => None,
    };
    Ok(RawExperimental {
        agent_spiffe_id_as_selector: fields.flag("agent_spiffe_id_as_selector")?,
        policy_engine,
        cache_reload_interval: fields.text("cache_reload_interval")?,
        full_cache_reload_interval: fields.text("full_cache_reload_interval")?,
        events_based_cache: fields.flag("events_based_cache")?,
        prune_events_older_than: fields.text("prune_events_older_than")?,
        event_timeout: fields.text("event_timeout")?,
        sql_transaction_timeout: fields.text("sql_transaction_timeout")?,
        require_pq_kem: fields.flag("require_pq_kem")?,
        wit_key_type: fields.text("wit_key_type")?,
        wit_issuer: fields.text("wit_issuer")?,
        feature_flags: fields.strings("feature_flags")?,
        named_pipe_name: fields.text("named_pipe_name")?,
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
