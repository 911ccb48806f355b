//! `federation {}`: read and checked as SPIRE does (SC-110 to SC-123). Serving and fetching bundles over HTTPS come
//! with a later version, so a server that is told to do either does not start.

use spire_config::{DecodeError, Fields, UnknownKeys, duration};
use spire_runtime::logging::go_quote;
use spire_types::{SpiffeId, TrustDomain};

use super::Loaded;

const PROFILES: &str = r#"current supported profiles are "https_spiffe" and 'https_web""#;

#[derive(Debug, Default)]
pub(super) struct RawFederation {
    bundle_endpoint: Option<RawEndpoint>,
    federates_with: Vec<(String, RawRelationship)>,
}

#[derive(Debug)]
struct RawEndpoint {
    refresh_hint: String,
    acme: Option<RawAcme>,
    profile: Option<Vec<Profile>>,
}

#[derive(Debug)]
struct RawAcme {
    domain_name: String,
    email: String,
}

#[derive(Debug)]
struct RawRelationship {
    bundle_endpoint_url: String,
    profile: Option<Vec<Profile>>,
}

/// A labelled profile block and what is in it.
#[derive(Debug)]
struct Profile {
    name: String,
    has_acme: bool,
    serving_cert_file: Option<ServingCertFile>,
    endpoint_spiffe_id: String,
}

#[derive(Debug)]
struct ServingCertFile {
    cert_file_path: String,
    key_file_path: String,
    file_sync_interval: String,
}

pub(super) fn decode_federation(
    mut fields: Fields<'_>,
    unknown: &mut Vec<UnknownKeys>,
) -> Result<RawFederation, DecodeError> {
    let bundle_endpoint = match fields.block("bundle_endpoint")? {
        Some(endpoint) => Some(decode_endpoint(endpoint, unknown)?),
        None => None,
    };
    let mut federates_with = Vec::new();
    for (trust_domain, mut fields) in fields.labelled("federates_with")? {
        let relationship = RawRelationship {
            bundle_endpoint_url: fields.text("bundle_endpoint_url")?,
            profile: decode_profile(&mut fields, "bundle_endpoint_profile")?,
        };
        federates_with.push((trust_domain, relationship));
    }
    Ok(RawFederation { bundle_endpoint, federates_with })
}

fn decode_endpoint(
    mut fields: Fields<'_>,
    unknown: &mut Vec<UnknownKeys>,
) -> Result<RawEndpoint, DecodeError> {
    fields.text("address")?;
    fields.number("port")?;
    let mut acme_unknown = None;
    let acme = match fields.block("acme")? {
        Some(mut acme) => {
            acme.text("directory_url")?;
            acme.flag("tos_accepted")?;
            let raw = RawAcme { domain_name: acme.text("domain_name")?, email: acme.text("email")? };
            acme_unknown = acme.unknown("bundle endpoint ACME");
            Some(raw)
        }
        None => None,
    };
    let endpoint = RawEndpoint {
        refresh_hint: fields.text("refresh_hint")?,
        acme,
        profile: decode_profile(&mut fields, "profile")?,
    };
    unknown.extend(fields.unknown("bundle endpoint"));
    unknown.extend(acme_unknown);
    Ok(endpoint)
}

fn decode_profile(fields: &mut Fields<'_>, name: &str) -> Result<Option<Vec<Profile>>, DecodeError> {
    if !fields.has(name) {
        return Ok(None);
    }
    let mut profiles = Vec::new();
    for (name, mut fields) in fields.first_labelled(name)? {
        let serving_cert_file = match fields.block("serving_cert_file")? {
            Some(mut file) => Some(ServingCertFile {
                cert_file_path: file.text("cert_file_path")?,
                key_file_path: file.text("key_file_path")?,
                file_sync_interval: file.text("file_sync_interval")?,
            }),
            None => None,
        };
        let has_acme = fields.block("acme")?.is_some();
        let endpoint_spiffe_id = fields.text("endpoint_spiffe_id")?;
        profiles.push(Profile { name, has_acme, serving_cert_file, endpoint_spiffe_id });
    }
    Ok(Some(profiles))
}

impl RawFederation {
    /// What can be said before there is a logger (SC-113, SC-119).
    pub(super) fn check_presence(&self) -> Result<(), String> {
        if let Some(RawEndpoint { acme: Some(acme), .. }) = &self.bundle_endpoint {
            for (key, value) in [("domain_name", &acme.domain_name), ("email", &acme.email)] {
                if value.is_empty() {
                    return Err(format!("federation.bundle_endpoint.acme.{key} must be configured"));
                }
            }
        }
        for (name, relationship) in &self.federates_with {
            let url = &relationship.bundle_endpoint_url;
            let key = format!("federation.federates_with[\"{name}\"].bundle_endpoint_url");
            if url.is_empty() {
                return Err(format!("{key} must be configured"));
            }
            if !url.to_lowercase().starts_with("https://") {
                return Err(format!("{key} must use the HTTPS protocol; URL found: {}", go_quote(url)));
            }
        }
        Ok(())
    }

    /// Values and warnings; adds what this version cannot do to `loaded`.
    pub(super) fn check(&self, loaded: &mut Loaded) -> Result<(), String> {
        if let Some(endpoint) = &self.bundle_endpoint {
            endpoint.check()?;
            loaded.not_built.push("federation.bundle_endpoint".to_owned());
        }
        for (name, relationship) in &self.federates_with {
            name.parse::<TrustDomain>().map_err(|error| error.to_string())?;
            relationship.check(name)?;
            loaded.not_built.push(format!("federation.federates_with[{}]", go_quote(name)));
        }
        Ok(())
    }
}

impl RawEndpoint {
    fn check(&self) -> Result<(), String> {
        if !self.refresh_hint.is_empty() {
            let hint = duration::parse(&self.refresh_hint).map_err(|error| {
                format!("could not parse refresh_hint {}: {error}", go_quote(&self.refresh_hint))
            })?;
            if hint.whole_seconds() >= 24 * 3600 {
                tracing::warn!(
                    "Bundle endpoint refresh hint set to a high value. Peers would learn of unscheduled changes of \
                     the trust bundle late; a smaller value is recommended, e.g. 5m"
                );
            }
            if hint.whole_seconds() < 60 {
                tracing::warn!(
                    "Bundle endpoint refresh hint set too low. No peer refreshes more often than once a minute"
                );
            }
        }
        match (&self.acme, &self.profile) {
            (Some(_), Some(_)) => {
                Err("either bundle endpoint 'acme' or 'profile' can be set, but not both".to_owned())
            }
            (Some(_), None) => {
                deprecated(
                    "ACME configuration within the bundle_endpoint is deprecated. Please use the https_web profile \
                     and put it there.",
                );
                Ok(())
            }
            (None, None) => {
                deprecated(
                    "Bundle endpoint is configured but has no profile set, using https_spiffe as default; please \
                     configure a profile explicitly. This will be fatal in a future release.",
                );
                Ok(())
            }
            (None, Some(profiles)) => check_own_profile(only(profiles)?),
        }
    }
}

fn check_own_profile(profile: &Profile) -> Result<(), String> {
    if profile.name.eq_ignore_ascii_case("https_spiffe") || profile.has_acme {
        return Ok(());
    }
    if !profile.name.eq_ignore_ascii_case("https_web") {
        return Err(format!("unknown bundle endpoint profile configured; {PROFILES}"));
    }
    let Some(file) = &profile.serving_cert_file else {
        return Err(
            "malformed https_web profile configuration: 'acme' or 'serving_cert_file' is required".to_owned()
        );
    };
    duration::parse(&file.file_sync_interval).map_err(|error| error.to_string())?;
    for path in [&file.cert_file_path, &file.key_file_path] {
        std::fs::read(path).map_err(|error| {
            let reason = spire_runtime::logging::read_error_text(std::path::Path::new(path), &error);
            format!("failed to load certificate: {reason}")
        })?;
    }
    Ok(())
}

impl RawRelationship {
    fn check(&self, name: &str) -> Result<(), String> {
        let Some(profiles) = &self.profile else {
            return Err(format!(
                "federation configuration for trust domain {}: missing bundle endpoint configuration",
                go_quote(name)
            ));
        };
        check_peer_profile(profiles).map_err(|reason| {
            format!("error parsing federation relationship for trust domain {}: {reason}", go_quote(name))
        })
    }
}

fn check_peer_profile(profiles: &[Profile]) -> Result<(), String> {
    let profile = only(profiles)?;
    if profile.name.eq_ignore_ascii_case("https_web") {
        return Ok(());
    }
    if !profile.name.eq_ignore_ascii_case("https_spiffe") {
        return Err(format!("no bundle endpoint profile defined; {PROFILES}"));
    }
    let id = profile.endpoint_spiffe_id.parse::<SpiffeId>();
    id.map(drop).map_err(|error| format!("could not get endpoint SPIFFE ID: {error}"))
}

fn only(profiles: &[Profile]) -> Result<&Profile, String> {
    match profiles {
        [profile] => Ok(profile),
        _ => Err("exactly one bundle endpoint profile is expected".to_owned()),
    }
}

/// SC-104
pub(super) fn deprecated(text: &str) {
    tracing::warn!(alert = true, alert_type = "deprecated_config", "{text}");
}
