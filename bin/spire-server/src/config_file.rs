//! From flags and the configuration file to settings: the order of the checks and their words are upstream's (SC-198).

mod federation;
mod intervals;
mod raw;
mod ttl_warnings;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use spire_authority::CredentialSettings;
use spire_cli::FlagSet;
use spire_config::duration::{self, GoDuration};
use spire_config::{FileError, feature_flags, read_file};
use spire_crypto::KeyType;
use spire_crypto::x509::Subject;
use spire_net::incoming::TrustedNetworks;
use spire_net::tls::TlsPolicy;
use spire_runtime::logging::{self, LogHandle, LogOptions, LogStream, go_quote};
use spire_server::{PruneAgents, ServerSettings};
use spire_types::{SpiffeId, TrustDomain};

use raw::{PolicyEngine, RawFile, RawServer};

const DEFAULT_PATH: &str = "conf/server/server.conf";
const DEFAULT_BIND_ADDRESS: &str = "0.0.0.0";
const DEFAULT_BIND_PORT: i64 = 8081;
const DEFAULT_CA_TTL: &str = "24h0m0s";
const DEFAULT_LOG_LEVEL: &str = "INFO";
pub(crate) const DEFAULT_SOCKET_PATH: &str = "/tmp/spire-server/private/api.sock";
const DEFAULT_PRUNE_BATCH: u32 = 1000;

/// A configuration that SPIRE would accept.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub settings: ServerSettings,
    pub log: LogHandle,
    /// Keys that ask for what this version does not have: no server may start with them.
    pub not_built: Vec<String>,
    /// Why SPIRE would start with this but no server of ours does.
    pub refused: Option<String>,
}

/// Declares the flags of `run` and `validate` (SC-400).
pub(crate) fn flags(flags: &mut FlagSet) {
    flags.string("bindAddress", "", "IP address or DNS name of the SPIRE server");
    flags.string("config", "", "Path to a SPIRE config file");
    flags.string("dataDir", "", "Directory to store runtime data to");
    flags.bool("expandEnv", "Expand environment variables in SPIRE config file");
    flags.string("logFile", "", "File to write logs to");
    flags.string("logFormat", "", "'text' or 'json'");
    flags.string("logLevel", "", "'debug', 'info', 'warn', or 'error'");
    flags.bool("logSourceLocation", "Include source file, line number and function name in log lines");
    flags.int("serverPort", 0, "Port number of the SPIRE server");
    flags.string("socketPath", "", "Path to bind the SPIRE Server API socket to");
    flags.string("trustDomain", "", "The trust domain that this server belongs to");
}

/// Reads and checks everything; lines go to `stream` unless a log file is configured.
pub(crate) fn load(
    flags: &FlagSet,
    variable: &dyn Fn(&str) -> Option<String>,
    stream: LogStream,
) -> Result<Loaded, String> {
    let path = non_empty(flags.text("config")).unwrap_or(DEFAULT_PATH);
    let document =
        read_file(path, flags.is("expandEnv").then_some(variable)).map_err(|error| error.to_string())?;
    let mut file = raw::decode(&document).map_err(|error| FileError::decode(path, &error).to_string())?;
    merge(&mut file.server, flags);
    feature_flags::check(&file.server.experimental.feature_flags).map_err(|error| error.to_string())?;
    check_presence(&file)?;
    let log = start_log(&file.server, stream)?;
    resolve(file, log)
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Flags before the file, the file before the defaults; empty is not set (SC-030 to SC-033).
fn merge(server: &mut RawServer, flags: &FlagSet) {
    let fields = [
        (&mut server.bind_address, "bindAddress", DEFAULT_BIND_ADDRESS),
        (&mut server.data_dir, "dataDir", ""),
        (&mut server.log_file, "logFile", ""),
        (&mut server.log_format, "logFormat", ""),
        (&mut server.log_level, "logLevel", DEFAULT_LOG_LEVEL),
        (&mut server.socket_path, "socketPath", DEFAULT_SOCKET_PATH),
        (&mut server.trust_domain, "trustDomain", ""),
    ];
    for (field, flag, default) in fields {
        if let Some(text) = non_empty(flags.text(flag)) {
            text.clone_into(field);
        } else if field.is_empty() {
            default.clone_into(field);
        }
    }
    match flags.number("serverPort") {
        0 if server.bind_port == 0 => server.bind_port = DEFAULT_BIND_PORT,
        0 => {}
        port => server.bind_port = port,
    }
    if server.ca_ttl.is_empty() {
        DEFAULT_CA_TTL.clone_into(&mut server.ca_ttl);
    }
    server.log_source_location |= flags.is("logSourceLocation");
}

/// What can be said without a logger.
fn check_presence(file: &RawFile) -> Result<(), String> {
    let server = &file.server;
    if server.trust_domain.is_empty() {
        return Err("trust_domain must be configured".to_owned());
    }
    if server.data_dir.is_empty() {
        return Err("data_dir must be configured".to_owned());
    }
    if file.plugins.is_none() {
        return Err("plugins section must be configured".to_owned());
    }
    if let Some(federation) = &server.federation {
        federation.check_presence()?;
    }
    let experimental = &server.experimental;
    if !experimental.event_timeout.is_empty() && !experimental.sql_transaction_timeout.is_empty() {
        return Err(
            "both experimental sql_transaction_timeout and event_timeout set, only set event_timeout"
                .to_owned(),
        );
    }
    for cidr in &server.proxy_protocol_trusted_cidrs {
        TrustedNetworks::parse([cidr]).map_err(|error| {
            format!("invalid proxy_protocol_trusted_cidrs value {}: {error}", go_quote(cidr))
        })?;
    }
    if !experimental.named_pipe_name.is_empty() {
        return Err("invalid configuration: named_pipe_name is not supported in this platform; please use \
                    socket_path instead"
            .to_owned());
    }
    Ok(())
}

/// SC-066 to SC-069
fn start_log(server: &RawServer, stream: LogStream) -> Result<LogHandle, String> {
    let not_started = |error: &dyn std::fmt::Display| format!("could not start logger: {error}");
    let mut options = LogOptions {
        file: non_empty(&server.log_file).map(PathBuf::from),
        source_location: server.log_source_location,
        stream,
        ..LogOptions::default()
    };
    if let Some(path) = &options.file {
        logging::create_file(path).map_err(|error| error.to_string())?;
    }
    options.level = server.log_level.parse().map_err(|error| not_started(&error))?;
    options.format = server.log_format.parse().map_err(|error| not_started(&error))?;
    logging::init(options).map_err(|error| error.to_string())
}

fn resolve(file: RawFile, log: LogHandle) -> Result<Loaded, String> {
    let RawFile { server, plugins, telemetry_sinks, health, unknown } = file;
    let bind_address = resolve_bind_address(&server)?;
    let trust_domain: TrustDomain = server.trust_domain.parse().map_err(|error| {
        format!("could not parse trust_domain {}: {error}", go_quote(&server.trust_domain))
    })?;
    if trust_domain.as_str().len() > 255 {
        tracing::warn!(
            trust_domain = trust_domain.as_str(),
            "Configured trust domain name should be less than 255 characters to be SPIFFE compliant; a longer trust \
             domain name may impact interoperability"
        );
    }
    let mut loaded = Loaded {
        settings: settings(&server, trust_domain, bind_address),
        log,
        not_built: Vec::new(),
        refused: None,
    };
    if let Some(federation) = &server.federation {
        federation.check(&mut loaded)?;
    }
    loaded.settings.tls_policy.log();
    let settings = &mut loaded.settings;
    if let Some(text) = &server.max_attested_node_info_staleness {
        let staleness =
            parse(text, |text| format!("could not parse max attested node staleness {}", go_quote(text)))?;
        settings.max_attested_node_info_staleness = staleness.to_std();
    }
    for text in &server.admin_ids {
        let id: SpiffeId =
            text.parse().map_err(|error| format!("could not parse admin ID {}: {error}", go_quote(text)))?;
        settings.admin_ids.push(id);
    }
    resolve_lifetimes(&server, &mut loaded)?;
    resolve_key_types(&server, &mut loaded.settings.credentials)?;
    resolve_subject(&server, &mut loaded.settings.credentials);
    if let Some(section) = plugins {
        loaded.settings.plugins = spire_config::plugins(&section).map_err(|error| error.to_string())?;
    }
    loaded.settings.health = health;
    resolve_pruning(&server, &mut loaded.settings)?;
    if server.disable_jwt_svids {
        tracing::info!("JWT-SVID profile is disabled");
    }
    report_unknown(&unknown)?;
    intervals::resolve(&server.experimental, &mut loaded)?;
    warn_of_missing_parts(&server, &telemetry_sinks);
    Ok(loaded)
}

/// SC-053
fn resolve_bind_address(server: &RawServer) -> Result<SocketAddr, String> {
    let (host, port) = (server.bind_address.trim_matches(['[', ']']), server.bind_port);
    let failed = |reason: String| {
        Err(format!("could not resolve bind address \"{}:{port}\": {reason}", server.bind_address))
    };
    let Ok(number) = u16::try_from(port) else {
        return failed(format!("address {port}: invalid port"));
    };
    if host.is_empty() {
        return Ok((Ipv6Addr::UNSPECIFIED, number).into());
    }
    if host.parse::<IpAddr>().is_err() && is_number(host) {
        return failed(format!("lookup {host}: no such host"));
    }
    match (host, number).to_socket_addrs() {
        // IPv4 first, as Go resolves.
        Ok(found) => {
            let found: Vec<SocketAddr> = found.collect();
            match found.iter().find(|address| address.is_ipv4()).or(found.first()) {
                Some(address) => Ok(*address),
                None => failed(format!("lookup {host}: no such host")),
            }
        }
        Err(_) => failed(format!("lookup {host}: no such host")),
    }
}

/// What C libraries take for an address, such as `0x10`, is a name in Go, and nobody has it.
fn is_number(host: &str) -> bool {
    host.split('.').all(|part| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
    })
}

/// Everything that needs no check beyond its type; the rest starts with its default.
fn settings(server: &RawServer, trust_domain: TrustDomain, bind_address: SocketAddr) -> ServerSettings {
    let absolute = |path: &str| std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    ServerSettings {
        credentials: CredentialSettings {
            jwt_issuer: server.jwt_issuer.clone(),
            disable_jwt_svids: server.disable_jwt_svids,
            ..CredentialSettings::new(trust_domain.clone())
        },
        trust_domain,
        data_dir: PathBuf::from(&server.data_dir),
        bind_address,
        socket_path: absolute(&server.socket_path),
        admin_ids: Vec::new(),
        audit_log_enabled: server.audit_log_enabled,
        limit_attestation: server.limit_attestation.unwrap_or(true),
        limit_signing: server.limit_signing.unwrap_or(true),
        events_based_cache: server.experimental.events_based_cache,
        cache_reload_interval: intervals::CACHE_RELOAD,
        full_cache_reload_interval: intervals::FULL_CACHE_RELOAD,
        prune_events_older_than: intervals::PRUNE_EVENTS,
        event_timeout: intervals::EVENT_TIMEOUT,
        empty_policy_engine: server.experimental.policy_engine == Some(PolicyEngine::Empty),
        max_attested_node_info_staleness: std::time::Duration::ZERO,
        prune_agents: None,
        agent_spiffe_id_as_selector: server.experimental.agent_spiffe_id_as_selector,
        trusted_proxies: match &server.proxy_protocol_trusted_cidrs[..] {
            [] => None,
            // Checked before.
            cidrs => TrustedNetworks::parse(cidrs).ok(),
        },
        tls_policy: TlsPolicy { require_pq_kem: server.experimental.require_pq_kem },
        health: spire_runtime::health::HealthSettings::default(),
        plugins: Vec::new(),
    }
}

fn parse(text: &str, what: impl Fn(&str) -> String) -> Result<GoDuration, String> {
    duration::parse(text).map_err(|error| format!("{}: {error}", what(text)))
}

/// SC-051, SC-057, SC-059, SC-060, SC-190
fn resolve_lifetimes(server: &RawServer, loaded: &mut Loaded) -> Result<(), String> {
    let lifetime = |value: &str, default: std::time::Duration, what: &str| match value {
        "" => Ok(GoDuration::from(default)),
        text => parse(text, |text| format!("could not parse {what} ttl {}", go_quote(text))),
    };
    let credentials = &mut loaded.settings.credentials;
    let agent = lifetime(&server.agent_ttl, std::time::Duration::ZERO, "agent")?;
    let x509 = lifetime(&server.default_x509_svid_ttl, credentials.x509_svid_ttl, "default X509 SVID")?;
    let jwt = lifetime(&server.default_jwt_svid_ttl, credentials.jwt_svid_ttl, "default JWT SVID")?;
    let ca = lifetime(&server.ca_ttl, credentials.ca_ttl, "default CA")?;
    let mut keys = vec![("default_x509_svid_ttl", x509), ("default_jwt_svid_ttl", jwt)];
    if agent.0 != 0 {
        keys.push(("agent_ttl", agent));
    }
    for (key, ttl) in &keys {
        if let Some(text) = ttl_warnings::warning(key, *ttl, ca) {
            tracing::warn!("{text}");
        }
    }
    keys.push(("ca_ttl", ca));
    if let Some((key, ttl)) = keys.iter().find(|(_, ttl)| ttl.0 < 0) {
        loaded.refused = Some(format!(
            "{key} must not be negative: {ttl}; use a duration such as \"1h\", or leave it out"
        ));
    }
    // Zero falls back to the default (SC-042).
    let or_default = |ttl: GoDuration, default: std::time::Duration| match ttl.0 {
        ..=0 => default,
        _ => ttl.to_std(),
    };
    credentials.agent_svid_ttl = (agent.0 > 0).then(|| agent.to_std());
    credentials.x509_svid_ttl = or_default(x509, credentials.x509_svid_ttl);
    credentials.jwt_svid_ttl = or_default(jwt, credentials.jwt_svid_ttl);
    credentials.ca_ttl = or_default(ca, credentials.ca_ttl);
    Ok(())
}

/// SC-055, SC-065, SC-100
fn resolve_key_types(server: &RawServer, credentials: &mut CredentialSettings) -> Result<(), String> {
    let key_type = |key: &str, value: &str, default: KeyType| match value {
        "" => Ok(default),
        text => text.parse().map_err(|_| {
            format!(
                "error parsing {key}: key type {} is unknown; must be one of [rsa-2048, rsa-4096, ec-p256, \
                 ec-p384]",
                go_quote(text)
            )
        }),
    };
    let ca = key_type("ca_key_type", &server.ca_key_type, KeyType::EcP256)?;
    credentials.ca_key_type = ca;
    credentials.jwt_key_type = key_type("jwt_key_type", &server.jwt_key_type, ca)?;
    key_type("wit_key_type", &server.experimental.wit_key_type, ca).map(drop)
}

/// SC-080
fn resolve_subject(server: &RawServer, credentials: &mut CredentialSettings) {
    let Some(raw) = &server.ca_subject else { return };
    if raw.country.is_empty() && raw.organization.is_empty() && raw.common_name.is_empty() {
        tracing::warn!("ca_subject configurable is set but empty; the default will be used");
        return;
    }
    credentials.ca_subject = Subject {
        country: raw.country.clone(),
        organization: raw.organization.clone(),
        common_name: raw.common_name.clone(),
        ..Subject::default()
    };
}

/// SC-076 to SC-078
fn resolve_pruning(server: &RawServer, settings: &mut ServerSettings) -> Result<(), String> {
    let text = &server.prune_attested_nodes_expired_for;
    if text.is_empty() {
        return Ok(());
    }
    let expired_for = parse(text, |_| "could not parse prune_attested_nodes_expired_for".to_owned())?;
    if expired_for.0 > 0 {
        let batch = u32::try_from(server.prune_attested_nodes_batch_size).unwrap_or_default();
        settings.prune_agents = Some(PruneAgents {
            expired_for: expired_for.to_std(),
            batch_size: if batch == 0 { DEFAULT_PRUNE_BATCH } else { batch },
            include_non_reattestable: server.prune_tofu_nodes,
        });
    }
    Ok(())
}

/// SC-180
fn report_unknown(unknown: &[spire_config::UnknownKeys]) -> Result<(), String> {
    for section in unknown {
        tracing::error!(
            keys = section.keys.join(","),
            section = section.section,
            "Unknown configuration detected"
        );
    }
    if unknown.is_empty() { Ok(()) } else { Err("unknown configuration detected".to_owned()) }
}

/// What a server can do its work without, but the operator counts on.
fn warn_of_missing_parts(server: &RawServer, sinks: &[&str]) {
    for sink in sinks {
        tracing::warn!(sink, "This telemetry sink is not built in this version: no metrics are sent to it");
    }
    if server.profiling_enabled {
        tracing::warn!("profiling_enabled is set, but profiling is not built in this version");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_go_takes_for_one() {
        // SC-053
        let resolve = |host: &str| {
            let server = RawServer { bind_address: host.to_owned(), bind_port: 8081, ..RawServer::default() };
            resolve_bind_address(&server).map(|address| address.to_string())
        };
        assert_eq!(resolve("[::1]").unwrap(), "[::1]:8081");
        assert_eq!(resolve("127.0.0.1").unwrap(), "127.0.0.1:8081");
        assert_eq!(resolve("[]").unwrap(), "[::]:8081");
        for host in ["0x10", "017", "127.1"] {
            let error = resolve(host).unwrap_err();
            assert!(
                error.starts_with(&format!("could not resolve bind address \"{host}:8081\": ")),
                "{error}"
            );
        }
    }
}
