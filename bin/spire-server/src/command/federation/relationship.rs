//! A relationship as it is written in flags or in a file, and as the server wants it (SC-310 to SC-313).

use spire_cli::FlagSet;
use spire_proto::types::federation_relationship::BundleEndpointProfile;
use spire_proto::types::{Bundle, FederationRelationship, HttpsWebProfile, HttpsspiffeProfile};
use spire_runtime::logging::go_quote;
use spire_types::SpiffeId;

use super::data_file;
use crate::command::bundle::document::{self, BundleFormat};
use crate::command::{files, json_input};

/// As it was written.
#[derive(Default)]
pub(super) struct Written {
    pub(super) trust_domain: String,
    pub(super) url: String,
    pub(super) profile: String,
    pub(super) endpoint_id: String,
    pub(super) bundle: WrittenBundle,
    pub(super) bundle_format: String,
}

/// Where the first bundle of the trust domain is.
#[derive(Default)]
pub(super) enum WrittenBundle {
    #[default]
    None,
    Path(String),
    /// JSON in the file of relationships itself.
    Inline(String),
}

/// Declares the flags of `create` and `update`.
pub(super) fn flags(flags: &mut FlagSet) {
    flags.string(
        "data",
        "",
        "Path to a file containing federation relationships in JSON format (optional). If set to '-', read the JSON \
         from stdin.",
    );
    flags.string("trustDomain", "", "Name of the trust domain to federate with (e.g., example.org)");
    flags.string(
        "bundleEndpointURL",
        "",
        "URL of the SPIFFE bundle endpoint that provides the trust bundle (must use the HTTPS protocol)",
    );
    flags.string(
        "bundleEndpointProfile",
        "",
        "Endpoint profile type (either \"https_web\" or \"https_spiffe\")",
    );
    flags.string(
        "endpointSpiffeID",
        "",
        "SPIFFE ID of the SPIFFE bundle endpoint server. Only used for 'spiffe' profile.",
    );
    flags.string("trustDomainBundlePath", "", "Path to the trust domain bundle data (optional).");
    flags.string(
        "trustDomainBundleFormat",
        document::PEM,
        "The format of the bundle data (optional). Either \"pem\" or \"spiffe\".",
    );
}

/// The relationships of the file or the one of the flags; never both.
pub(super) fn requested(flags: &FlagSet) -> Result<Vec<FederationRelationship>, String> {
    let text = |name: &str| flags.text(name).to_owned();
    let written = Written {
        trust_domain: text("trustDomain"),
        url: text("bundleEndpointURL"),
        profile: text("bundleEndpointProfile"),
        endpoint_id: text("endpointSpiffeID"),
        bundle: match flags.text("trustDomainBundlePath") {
            "" => WrittenBundle::None,
            path => WrittenBundle::Path(path.to_owned()),
        },
        bundle_format: text("trustDomainBundleFormat"),
    };
    match flags.text("data") {
        "" => Ok(vec![written.relationship()?]),
        path if written.is_default() => data_file::read(path),
        _ => Err("cannot use other flags to specify relationship fields when 'data' flag is set".to_owned()),
    }
}

impl Written {
    fn is_default(&self) -> bool {
        let texts = [&self.trust_domain, &self.url, &self.profile, &self.endpoint_id];
        texts.iter().all(|text| text.is_empty())
            && matches!(self.bundle, WrittenBundle::None)
            && self.bundle_format == document::PEM
    }

    pub(super) fn relationship(self) -> Result<FederationRelationship, String> {
        if self.trust_domain.is_empty() {
            return Err("trust domain is required".to_owned());
        }
        if self.url.is_empty() {
            return Err("bundle endpoint URL is required".to_owned());
        }
        // The bundle is labelled with the domain of the endpoint's id, which need not be that of the relationship
        // (SC-312); the server judges it.
        let (profile, bundle_domain) = match self.profile.as_str() {
            "https_web" => (BundleEndpointProfile::HttpsWeb(HttpsWebProfile {}), self.trust_domain.clone()),
            "https_spiffe" => {
                let id = endpoint_id(&self.endpoint_id)?;
                let profile = HttpsspiffeProfile { endpoint_spiffe_id: self.endpoint_id.clone() };
                (BundleEndpointProfile::HttpsSpiffe(profile), id.trust_domain().as_str().to_owned())
            }
            other => return Err(format!("unknown bundle endpoint profile type: {}", go_quote(other))),
        };
        let trust_domain_bundle = self.bundle.read(&self.bundle_format, &bundle_domain)?;
        Ok(FederationRelationship {
            trust_domain: self.trust_domain,
            bundle_endpoint_url: self.url,
            bundle_endpoint_profile: Some(profile),
            trust_domain_bundle,
        })
    }
}

fn endpoint_id(text: &str) -> Result<SpiffeId, String> {
    if text.is_empty() {
        let error = "endpoint SPIFFE ID is required if 'https_spiffe' endpoint profile is set";
        return Err(error.to_owned());
    }
    let id = text.parse::<SpiffeId>();
    id.map_err(|error| format!("cannot parse bundle endpoint SPIFFE ID: {error}"))
}

impl WrittenBundle {
    fn read(&self, format: &str, trust_domain: &str) -> Result<Option<Bundle>, String> {
        let bundle = match self {
            Self::None => return Ok(None),
            Self::Path(path) => {
                let data = files::read(path).map_err(|error| format!("cannot read bundle file: {error}"))?;
                // Upstream takes every word but "pem" for the SPIFFE format here.
                let format = if format == document::PEM { BundleFormat::Pem } else { BundleFormat::Spiffe };
                document::read(&data, format, trust_domain)
                    .map_err(|error| format!("cannot parse bundle file: {error}"))?
            }
            Self::Inline(json) => inline(json, format, trust_domain)
                .map_err(|error| format!("cannot parse bundle raw message: {error}"))?,
        };
        Ok(Some(bundle))
    }
}

/// PEM stands in a string, a SPIFFE document as it is.
fn inline(json: &str, format: &str, trust_domain: &str) -> Result<Bundle, String> {
    match format {
        document::PEM => {
            let pem: String = json_input::read(json.as_bytes())
                .map_err(|error| format!("failed to unmarshal json: {error}"))?;
            document::read(pem.as_bytes(), BundleFormat::Pem, trust_domain)
        }
        document::SPIFFE => document::read(json.as_bytes(), BundleFormat::Spiffe, trust_domain),
        other => Err(format!("bundle format {} is unsupported", go_quote(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested_by(args: &[&str]) -> Result<Vec<FederationRelationship>, String> {
        let mut set = FlagSet::new("federation create");
        flags(&mut set);
        set.parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>()).unwrap();
        requested(&set)
    }

    #[test]
    fn flags_are_checked_in_order() {
        // SC-311
        let all = [
            "-trustDomain",
            "td",
            "-bundleEndpointURL",
            "https://x",
            "-bundleEndpointProfile",
            "https_spiffe",
        ];
        for (given, error) in [
            (0, "trust domain is required"),
            (2, "bundle endpoint URL is required"),
            (4, "unknown bundle endpoint profile type: \"\""),
            (6, "endpoint SPIFFE ID is required if 'https_spiffe' endpoint profile is set"),
        ] {
            assert_eq!(requested_by(&all[..given]).unwrap_err(), error);
        }
        let with = |more: &[&str]| requested_by(&[&all[..], more].concat()).unwrap_err();
        assert_eq!(
            with(&["-endpointSpiffeID", "x"]),
            "cannot parse bundle endpoint SPIFFE ID: scheme is missing or invalid"
        );
        assert_eq!(
            with(&["-endpointSpiffeID", "spiffe://td/x", "-trustDomainBundlePath", "/nonexistent"]),
            "cannot read bundle file: open /nonexistent: no such file or directory"
        );
    }

    #[test]
    fn a_file_excludes_the_other_flags() {
        // SC-310
        let error = "cannot use other flags to specify relationship fields when 'data' flag is set";
        assert_eq!(requested_by(&["-data", "x", "-trustDomain", "td"]).unwrap_err(), error);
        assert_eq!(requested_by(&["-data", "x", "-trustDomainBundleFormat", "spiffe"]).unwrap_err(), error);
        assert!(requested_by(&["-data", "/nonexistent"]).unwrap_err().starts_with("open /nonexistent: "));
    }

    #[test]
    fn a_bundle_of_the_file_needs_its_format() {
        // SC-313
        for (json, format, error) in [
            ("\"x\"", "", "bundle format \"\" is unsupported"),
            ("\"x\"", "pem", "unable to parse bundle data: no PEM blocks"),
            ("null", "pem", "unable to parse bundle data: no PEM blocks"),
            (
                "{}",
                "pem",
                "failed to unmarshal json: json: cannot unmarshal object into Go value of type string",
            ),
            ("{}", "spiffe", "unable to parse to spiffe bundle: spiffebundle: no authorities found"),
        ] {
            assert_eq!(inline(json, format, "td").unwrap_err(), error);
        }
    }
}
