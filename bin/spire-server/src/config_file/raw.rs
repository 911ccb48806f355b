//! The file as it is written: every key with its type, nothing resolved (SC-020 to SC-028).

use spire_config::{DecodeError, Fields, Object, UnknownKeys};
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

/// `experimental {}` (SC-090 to SC-103).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawExperimental {
    pub agent_spiffe_id_as_selector: bool,
    pub has_policy_engine: bool,
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
        Some(fields) => decode_telemetry(fields, &mut telemetry_unknown)?,
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
                common_name: text(&mut subject, "common_name")?,
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
        agent_ttl: text(&mut fields, "agent_ttl")?,
        audit_log_enabled: flag(&mut fields, "audit_log_enabled")?,
        bind_address: text(&mut fields, "bind_address")?,
        bind_port: number(&mut fields, "bind_port")?,
        ca_key_type: text(&mut fields, "ca_key_type")?,
        ca_subject,
        ca_ttl: text(&mut fields, "ca_ttl")?,
        data_dir: text(&mut fields, "data_dir")?,
        default_x509_svid_ttl: text(&mut fields, "default_x509_svid_ttl")?,
        default_jwt_svid_ttl: text(&mut fields, "default_jwt_svid_ttl")?,
        disable_jwt_svids: flag(&mut fields, "disable_jwt_svids")?,
        experimental,
        federation,
        jwt_issuer: text(&mut fields, "jwt_issuer")?,
        jwt_key_type: text(&mut fields, "jwt_key_type")?,
        log_file: text(&mut fields, "log_file")?,
        log_level: text(&mut fields, "log_level")?,
        log_format: text(&mut fields, "log_format")?,
        log_source_location: flag(&mut fields, "log_source_location")?,
        max_attested_node_info_staleness: fields.string("max_attested_node_info_staleness")?,
        profiling_enabled: decode_profiling(&mut fields)?,
        proxy_protocol_trusted_cidrs: fields.strings("proxy_protocol_trusted_cidrs")?,
        prune_attested_nodes_expired_for: text(&mut fields, "prune_attested_nodes_expired_for")?,
        prune_attested_nodes_batch_size: number(&mut fields, "prune_attested_nodes_batch_size")?,
        prune_tofu_nodes: flag(&mut fields, "prune_tofu_nodes")?,
        limit_attestation,
        limit_signing,
        socket_path: text(&mut fields, "socket_path")?,
        trust_domain: text(&mut fields, "trust_domain")?,
    };
    // Upstream's reader knows these two by accident, so files may hold them (SC-028).
    text(&mut fields, "configpath")?;
    flag(&mut fields, "expandenv")?;
    unknown.extend(fields.unknown("server"));
    unknown.extend(sections);
    Ok(server)
}

fn decode_profiling(fields: &mut Fields<'_>) -> Decoded<bool> {
    number(fields, "profiling_port")?;
    number(fields, "profiling_freq")?;
    fields.strings("profiling_names")?;
    flag(fields, "profiling_enabled")
}

fn decode_experimental(mut fields: Fields<'_>) -> Decoded<RawExperimental> {
    let has_policy_engine = match fields.block("auth_opa_policy_engine")? {
        Some(mut engine) => {
            if let Some(mut local) = engine.block("local")? {
                text(&mut local, "rego_path")?;
                text(&mut local, "policy_data_path")?;
            }
            true
        }
        None => false,
    };
    Ok(RawExperimental {
        agent_spiffe_id_as_selector: flag(&mut fields, "agent_spiffe_id_as_selector")?,
        has_policy_engine,
        cache_reload_interval: text(&mut fields, "cache_reload_interval")?,
        full_cache_reload_interval: text(&mut fields, "full_cache_reload_interval")?,
        events_based_cache: flag(&mut fields, "events_based_cache")?,
        prune_events_older_than: text(&mut fields, "prune_events_older_than")?,
        event_timeout: text(&mut fields, "event_timeout")?,
        sql_transaction_timeout: text(&mut fields, "sql_transaction_timeout")?,
        require_pq_kem: flag(&mut fields, "require_pq_kem")?,
        wit_key_type: text(&mut fields, "wit_key_type")?,
        wit_issuer: text(&mut fields, "wit_issuer")?,
        feature_flags: fields.strings("feature_flags")?,
        named_pipe_name: text(&mut fields, "named_pipe_name")?,
    })
}

/// The names of the sinks that are asked for (SC-160 to SC-169).
fn decode_telemetry(mut fields: Fields<'_>, unknown: &mut Vec<UnknownKeys>) -> Decoded<Vec<&'static str>> {
    let mut sinks = Vec::new();
    text(&mut fields, "MetricPrefix")?;
    fields.bool("EnableTrustDomainLabel")?;
    fields.bool("EnableHostnameLabel")?;
    for list in ["AllowedPrefixes", "BlockedPrefixes", "AllowedLabels", "BlockedLabels"] {
        fields.strings(list)?;
    }
    if let Some(mut prometheus) = fields.block("Prometheus")? {
        text(&mut prometheus, "host")?;
        number(&mut prometheus, "port")?;
        prometheus.block("tls")?;
        sinks.push("Prometheus");
        unknown.extend(prometheus.unknown("Prometheus"));
    }
    for (name, has_env) in [("DogStatsd", false), ("Statsd", false), ("M3", true)] {
        for mut sink in fields.blocks(name)? {
            text(&mut sink, "address")?;
            if has_env {
                text(&mut sink, "env")?;
            }
            sinks.push(name);
            unknown.extend(sink.unknown(name));
        }
    }
    if let Some(memory) = fields.block("InMem")? {
        sinks.push("InMem");
        unknown.extend(memory.unknown("InMem"));
    }
    sinks.dedup();
    Ok(sinks)
}

fn decode_health(mut fields: Fields<'_>, unknown: &mut Option<UnknownKeys>) -> Decoded<HealthSettings> {
    let settings = HealthSettings {
        listener_enabled: flag(&mut fields, "listener_enabled")?,
        bind_address: text(&mut fields, "bind_address")?,
        bind_port: text(&mut fields, "bind_port")?,
        live_path: text(&mut fields, "live_path")?,
        ready_path: text(&mut fields, "ready_path")?,
    };
    *unknown = fields.unknown("health check");
    Ok(settings)
}

pub(super) fn text(fields: &mut Fields<'_>, name: &str) -> Decoded<String> {
    Ok(fields.string(name)?.unwrap_or_default())
}

pub(super) fn flag(fields: &mut Fields<'_>, name: &str) -> Decoded<bool> {
    Ok(fields.bool(name)?.unwrap_or_default())
}

pub(super) fn number(fields: &mut Fields<'_>, name: &str) -> Decoded<i64> {
    Ok(fields.int(name)?.unwrap_or_default())
}
