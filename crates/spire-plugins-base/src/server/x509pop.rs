//! The server's side of x509pop (NA-050 to NA-083).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use spire_config::Object;
use spire_crypto::x509::{Certificate, DistinguishedName, KeyUsage, Roots, verify_chains};
use spire_crypto::{KeyAlgorithm, hash, pem};
use spire_plugin::server::{AgentAttributes, Conversation, NodeAttestor};
use spire_plugin::{BuiltIn, Code, PluginContext, PluginError};
use spire_runtime::logging::{go_quote, read_error_text};
use spire_types::SpiffeId;

use super::path_template::{PathTemplate, Record, TemplateError, Value};
use crate::shared::settings::decode;
use crate::shared::x509pop::{AttestationData, Challenge, Response, challenge, read, verify};

pub const X509POP: BuiltIn<dyn NodeAttestor> = BuiltIn {
    name: NAME,
    configurable: true,
    build: |context, data| {
        let settings = Settings::read(data).map_err(|mut problems| problems.swap_remove(0))?;
        Ok(Arc::new(X509Pop { context: context.clone(), settings }))
    },
    validate: |_, data| match Settings::read(data) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.message).collect(),
    },
};

const NAME: &str = "x509pop";
/// NA-053
const TEMPLATE: &str = "/{{ .PluginName }}/{{ .Fingerprint }}";
const OWN_TEMPLATE: &str = "/{{ .PluginName }}/{{ .SVIDPathTrimmed }}";
/// NA-051
const DEFAULT_PREFIX: &str = "/spire-exchange/";

#[derive(Debug)]
struct Settings {
    trust: Trust,
    template: PathTemplate,
    max_intermediates: usize,
    max_rsa_key_bits: usize,
    verify_client_ip: bool,
}

/// Who must have issued a node's certificate (NA-050).
#[derive(Debug)]
enum Trust {
    /// `external_pki`
    Configured(Roots),
    /// `spiffe`: the server's own trust domain; the path of the SVID starts with this.
    Own { prefix: String },
}

struct Raw {
    mode: Option<String>,
    prefix: Option<String>,
    bundle_path: String,
    bundle_paths: Vec<String>,
    template: Option<String>,
    max_intermediates: Option<i64>,
    max_rsa_key_size: Option<i64>,
    verify_client_ip: bool,
}

impl Settings {
    fn read(data: &Object) -> Result<Self, Vec<PluginError>> {
        let raw = decode(data, |fields| {
            Ok(Raw {
                mode: fields.string("mode")?,
                prefix: fields.string("spiffe_prefix")?,
                bundle_path: fields.string("ca_bundle_path")?.unwrap_or_default(),
                bundle_paths: fields.strings("ca_bundle_paths")?,
                template: fields.string("agent_path_template")?.filter(|text| !text.is_empty()),
                max_intermediates: fields.int("max_intermediates")?,
                max_rsa_key_size: fields.int("max_rsa_key_size")?,
                verify_client_ip: fields.bool("verify_client_ip")?.unwrap_or_default(),
            })
        })
        .map_err(|error| vec![error])?;
        Self::resolve(raw)
    }

    fn resolve(raw: Raw) -> Result<Self, Vec<PluginError>> {
        let mut problems = Vec::new();
        let own = match raw.mode.as_deref() {
            None | Some("" | "external_pki") => false,
            Some("spiffe") => true,
            Some(_) => {
                problems.push(PluginError::invalid("mode can only be either spiffe or external_pki"));
                false
            }
        };
        let trust = match (problems.is_empty(), own) {
            (false, _) => None,
            (true, true) => own_trust(&raw, &mut problems),
            (true, false) => roots(&raw, &mut problems).map(Trust::Configured),
        };
        let default = if own { OWN_TEMPLATE } else { TEMPLATE };
        let text = raw.template.as_deref().unwrap_or(default);
        let template = PathTemplate::parse(text, MISSING_FIELDS).map_err(|error| {
            problems.push(PluginError::invalid(match error {
                TemplateError::Malformed(_) => {
                    format!("failed to parse agent svid template: {}", go_quote(text))
                }
                TemplateError::NotBuilt(what) => {
                    format!("agent_path_template uses {what}, which is not built in this version")
                }
            }));
        });
        let limits = [
            positive(raw.max_intermediates, 4, "max_intermediates", &mut problems),
            positive(raw.max_rsa_key_size, 8192, "max_rsa_key_size", &mut problems),
        ];
        match (trust, template, problems.is_empty()) {
            (Some(trust), Ok(template), true) => {
                let [max_intermediates, max_rsa_key_bits] = limits;
                Ok(Self {
                    trust,
                    template,
                    max_intermediates,
                    max_rsa_key_bits,
                    verify_client_ip: raw.verify_client_ip,
                })
            }
            _ => Err(problems),
        }
    }
}

fn positive(value: Option<i64>, default: usize, name: &str, problems: &mut Vec<PluginError>) -> usize {
    match value.map(usize::try_from) {
        None => default,
        Some(Ok(value)) if value > 0 => value,
        Some(_) => {
            problems.push(PluginError::invalid(format!("{name} must be greater than 0")));
            default
        }
    }
}

/// NA-051, NA-052
fn own_trust(raw: &Raw, problems: &mut Vec<PluginError>) -> Option<Trust> {
    if !raw.bundle_path.is_empty() || !raw.bundle_paths.is_empty() {
        let text = "you can not use ca_bundle_path or ca_bundle_paths in spiffe mode";
        problems.push(PluginError::invalid(text));
        return None;
    }
    let mut prefix = raw.prefix.clone().unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
    if !prefix.ends_with('/') {
        prefix.push('/');
    }
    Some(Trust::Own { prefix })
}

/// NA-052
fn roots(raw: &Raw, problems: &mut Vec<PluginError>) -> Option<Roots> {
    let mut refuse = |text: String| problems.push(PluginError::invalid(text));
    if !raw.bundle_path.is_empty() && !raw.bundle_paths.is_empty() {
        refuse("only one of ca_bundle_path or ca_bundle_paths can be configured, not both".to_owned());
    }
    let paths = match raw.bundle_path.is_empty() {
        true => &raw.bundle_paths[..],
        false => std::slice::from_ref(&raw.bundle_path),
    };
    if paths.is_empty() {
        refuse("one of ca_bundle_path or ca_bundle_paths must be configured".to_owned());
    }
    let mut certificates = Vec::new();
    for path in paths {
        match load_bundle(Path::new(path)) {
            Ok(loaded) => certificates.extend(loaded),
            Err(text) => refuse(format!("unable to load trust bundle {}: {text}", go_quote(path))),
        }
    }
    Roots::new(certificates).map_err(|error| refuse(format!("unable to load trust bundle: {error}"))).ok()
}

fn load_bundle(path: &Path) -> Result<Vec<Certificate>, String> {
    let text = std::fs::read(path).map_err(|error| read_error_text(path, &error))?;
    pem::find_certificates(&text).map_err(|error| error.to_string())
}

#[derive(Debug)]
struct X509Pop {
    context: PluginContext,
    settings: Settings,
}

#[async_trait]
impl NodeAttestor for X509Pop {
    async fn attest(
        &self,
        payload: &[u8],
        conversation: &mut dyn Conversation,
    ) -> Result<AgentAttributes, PluginError> {
        let chain = self.chain(payload)?;
        let leaf = &chain[0];
        let paths = self.verified_paths(&chain, &*conversation)?;
        self.check_client(leaf, &*conversation)?;
        let failed = |text: String| PluginError::internal(format!("unable to generate challenge: {text}"));
        if !leaf.key_usage().is_some_and(|usage| usage.contains(KeyUsage::DIGITAL_SIGNATURE)) {
            return Err(failed("certificate not intended for digital signature use".to_owned()));
        }
        let key = leaf.public_key().map_err(|error| failed(error.to_string()))?;
        let asked: Challenge = challenge(&key).map_err(failed)?;
        let message = serde_json::to_vec(&asked).map_err(|error| failed(error.to_string()))?;
        let answer = conversation.challenge(message).await?;
        let answer: Response = read(&answer).map_err(|error| {
            PluginError::invalid(format!("unable to unmarshal challenge response: {error}"))
        })?;
        verify(&key, &asked, &answer).map_err(|text| {
            PluginError::new(
                Code::PermissionDenied,
                format!("challenge response verification failed: {text}"),
            )
        })?;
        let svid_path = self.svid_path(leaf)?;
        self.attributes(leaf, &paths, svid_path)
    }
}

impl X509Pop {
    /// NA-069 to NA-073
    fn chain(&self, payload: &[u8]) -> Result<Vec<Certificate>, PluginError> {
        let data: AttestationData = read(payload)
            .map_err(|error| PluginError::invalid(format!("failed to unmarshal data: {error}")))?;
        let Some((leaf, rest)) = data.certificates.split_first() else {
            return Err(PluginError::invalid("no certificate to attest"));
        };
        if rest.len() > self.settings.max_intermediates {
            return Err(PluginError::invalid("too many intermediate certificates"));
        }
        let leaf = Certificate::parse(&leaf.0)
            .map_err(|error| PluginError::invalid(format!("unable to parse leaf certificate: {error}")))?;
        if self.is_too_large(&leaf) {
            return Err(PluginError::invalid("leaf certificate key size too large"));
        }
        let mut chain = vec![leaf];
        for (index, der) in rest.iter().enumerate() {
            let certificate = Certificate::parse(&der.0).map_err(|error| {
                PluginError::invalid(format!("unable to parse intermediate certificate {index}: {error}"))
            })?;
            if self.is_too_large(&certificate) {
                return Err(PluginError::invalid(format!(
                    "intermediate certificate {index} key size too large"
                )));
            }
            chain.push(certificate);
        }
        Ok(chain)
    }

    fn is_too_large(&self, certificate: &Certificate) -> bool {
        certificate.public_key().is_ok_and(
            |key| matches!(key.algorithm(), KeyAlgorithm::Rsa { bits } if bits > self.settings.max_rsa_key_bits),
        )
    }

    /// NA-075; each path ends with a root.
    fn verified_paths(
        &self,
        chain: &[Certificate],
        host: &dyn Conversation,
    ) -> Result<Vec<Vec<Certificate>>, PluginError> {
        let now = self.context.clock.now();
        let own;
        let roots = match &self.settings.trust {
            Trust::Configured(roots) => roots,
            Trust::Own { .. } => {
                // Never the roots of the system in place of none (NA-441).
                own = host.own_authorities().ok_or_else(|| {
                    PluginError::internal("failed to get trust bundle: the server has no bundle yet")
                })?;
                &own
            }
        };
        verify_chains(chain, roots, now).map_err(|error| {
            PluginError::new(Code::PermissionDenied, format!("certificate verification failed: {error}"))
        })
    }

    /// NA-076
    fn check_client(&self, leaf: &Certificate, host: &dyn Conversation) -> Result<(), PluginError> {
        if !self.settings.verify_client_ip {
            return Ok(());
        }
        let client = host
            .client_address()
            .ok_or_else(|| PluginError::internal("client IP not available for verification"))?
            .to_canonical();
        if leaf.ip_sans().iter().any(|address| address.to_canonical() == client) {
            return Ok(());
        }
        let text = format!("client IP {client} does not match any certificate IP SAN");
        Err(PluginError::new(Code::PermissionDenied, text))
    }

    /// What the SVID's path says behind the prefix; empty where no SVID is asked for (NA-080).
    fn svid_path<'a>(&self, leaf: &'a Certificate) -> Result<&'a str, PluginError> {
        let Trust::Own { prefix } = &self.settings.trust else { return Ok("") };
        let denied = |text: &str| PluginError::new(Code::PermissionDenied, text);
        let id = leaf.uri_sans().iter().find_map(|uri| uri.strip_prefix("spiffe://"));
        let id = id.ok_or_else(|| denied("valid SVID x509 cert not found"))?;
        let id = without_query(id);
        let path = id.find('/').map_or("", |slash| &id[slash..]);
        path.strip_prefix(prefix.as_str()).ok_or_else(|| denied("x509 cert doesnt match SVID prefix"))
    }

    /// NA-081 to NA-083
    fn attributes(
        &self,
        leaf: &Certificate,
        paths: &[Vec<Certificate>],
        svid_path: &str,
    ) -> Result<AgentAttributes, PluginError> {
        let subject = leaf.subject().to_subject();
        let mut selectors = Vec::new();
        if !subject.common_name.is_empty() {
            selectors.push(format!("subject:cn:{}", subject.common_name));
        }
        for authority in paths.iter().flat_map(|path| path.iter().skip(1)) {
            let selector = format!("ca:fingerprint:{}", hash::sha1_hex(authority.der()));
            if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        selectors.push(format!("serialnumber:{}", leaf.serial_hex()));
        let sans = self.san_selectors(leaf);
        selectors.extend(sans.iter().map(|(key, value)| format!("san:{key}:{value}")));
        let failed = |text: String| PluginError::internal(format!("failed to make spiffe id: {text}"));
        let data = template_data(leaf, self.context.trust_domain.as_str(), svid_path, sans);
        let id_path = self.settings.template.render(&data).map_err(failed)?;
        let id_of = |path: &str| SpiffeId::from_path(self.context.trust_domain.clone(), path);
        // The suffix must be a path itself, or it would run into the name before it.
        let id = id_of(&id_path)
            .and_then(|_| id_of(&format!("/spire/agent{id_path}")))
            .map_err(|error| failed(format!("invalid agent path suffix {}: {error}", go_quote(&id_path))))?;
        Ok(AgentAttributes { spiffe_id: id.to_string(), selector_values: selectors, can_reattest: true })
    }

    /// `x509pop://<td>/<key>/<value>` of the URI SANs; the last of a key wins.
    fn san_selectors(&self, leaf: &Certificate) -> BTreeMap<String, String> {
        let prefix = format!("x509pop://{}/", self.context.trust_domain);
        let mut values = BTreeMap::new();
        for uri in leaf.uri_sans() {
            let Some(rest) = uri.strip_prefix(&prefix) else { continue };
            match unescaped(without_query(rest)).trim_matches('/').split_once('/') {
                Some((key, value)) => {
                    values.insert(key.to_owned(), value.to_owned());
                }
                None => tracing::warn!(
                    external = false,
                    plugin_name = NAME,
                    plugin_type = "NodeAttestor",
                    subsystem_name = "catalog",
                    "cannot extract x509pop san selectors from {uri}"
                ),
            }
        }
        values
    }
}

fn without_query(uri: &str) -> &str {
    uri.find(['?', '#']).map_or(uri, |end| &uri[..end])
}

/// `%41` as `A`; what is no text then stays as it is.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        rest = if escaped.is_some() { &behind[2..] } else { behind };
        bytes.extend(escaped.unwrap_or_else(|| vec![*first]));
    }
    String::from_utf8(bytes).unwrap_or_else(|_| path.to_owned())
}

/// Fields and methods of Go's `x509.Certificate` that a template could use and that are not built (NA-307).
const MISSING_FIELDS: &[&str] = &[
    "AuthorityKeyId",
    "BasicConstraintsValid",
    "CRLDistributionPoints",
    "EmailAddresses",
    "ExtKeyUsage",
    "Extensions",
    "ExtraExtensions",
    "ExtraNames",
    "IssuingCertificateURL",
    "KeyUsage",
    "MaxPathLen",
    "MaxPathLenZero",
    "Names",
    "NotAfter",
    "NotBefore",
    "OCSPServer",
    "Policies",
    "PolicyIdentifiers",
    "PublicKey",
    "PublicKeyAlgorithm",
    "Raw",
    "RawIssuer",
    "RawSubject",
    "RawSubjectPublicKeyInfo",
    "RawTBSCertificate",
    "Signature",
    "SignatureAlgorithm",
    "SubjectKeyId",
    "UnhandledCriticalExtensions",
    "UnknownExtKeyUsage",
    "Version",
];

/// What a template sees (NA-307).
fn template_data(
    leaf: &Certificate,
    trust_domain: &str,
    svid_path: &str,
    sans: BTreeMap<String, String>,
) -> Value {
    let printed = |kind, texts: Vec<String>| {
        let record = |text| Value::Record(Record { kind, text: Some(text), fields: Vec::new() });
        Value::List(texts.into_iter().map(record).collect())
    };
    let serial = leaf.serial_decimal().to_owned();
    let addresses = leaf.ip_sans().iter().map(|address| address.to_canonical().to_string()).collect();
    let sans = sans.into_iter().map(|(key, value)| (key, Value::Text(value))).collect();
    Value::Record(Record {
        kind: "x509pop.agentPathTemplateData",
        text: None,
        fields: vec![
            ("PluginName", Value::from(NAME)),
            ("Fingerprint", Value::Text(hash::sha1_hex(leaf.der()))),
            ("SerialNumberHex", Value::Text(leaf.serial_hex())),
            ("TrustDomain", Value::from(trust_domain)),
            ("SVIDPathTrimmed", Value::from(svid_path)),
            ("URISanSelectors", Value::Map(sans)),
            ("Subject", name_data(leaf.subject())),
            ("Issuer", name_data(leaf.issuer())),
            (
                "SerialNumber",
                Value::Record(Record { kind: "*big.Int", text: Some(serial), fields: Vec::new() }),
            ),
            ("DNSNames", Value::texts(leaf.dns_sans())),
            ("IPAddresses", printed("net.IP", addresses)),
            ("URIs", printed("*url.URL", leaf.uri_sans().to_vec())),
            ("IsCA", Value::Bool(leaf.is_ca())),
        ],
    })
}

fn name_data(name: &DistinguishedName) -> Value {
    let subject = name.to_subject();
    let fields = vec![
        ("CommonName", Value::Text(subject.common_name)),
        ("SerialNumber", Value::Text(subject.serial_number)),
        ("Country", Value::texts(&subject.country)),
        ("Organization", Value::texts(&subject.organization)),
        ("OrganizationalUnit", Value::texts(&subject.organizational_unit)),
        ("Locality", Value::texts(&subject.locality)),
        ("Province", Value::texts(&subject.province)),
        ("StreetAddress", Value::texts(&subject.street_address)),
        ("PostalCode", Value::texts(&subject.postal_code)),
    ];
    Value::Record(Record { kind: "pkix.Name", text: Some(name.to_string()), fields })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use spire_crypto::x509::{CertificateTemplate, ExtraExtension, Issuer, Subject, Usage, sign_certificate};
    use spire_crypto::{KeyType, PrivateKey};
    use spire_runtime::SystemClock;

    use super::*;
    use crate::shared::x509pop::{Base64, respond};

    /// An agent with this key, seen from here.
    struct Node {
        key: PrivateKey,
        address: Option<IpAddr>,
        authorities: Option<Roots>,
    }

    #[async_trait]
    impl Conversation for Node {
        async fn challenge(&mut self, challenge: Vec<u8>) -> Result<Vec<u8>, PluginError> {
            let asked = serde_json::from_slice(&challenge).unwrap();
            Ok(serde_json::to_vec(&respond(&self.key, &asked).unwrap()).unwrap())
        }

        fn client_address(&self) -> Option<IpAddr> {
            self.address
        }

        fn own_authorities(&self) -> Option<Roots> {
            self.authorities.clone()
        }
    }

    /// A certificate that is its own anchor, with this subject alternative name.
    async fn certificate(key: &PrivateKey, san: &[u8]) -> Certificate {
        issue("node", key, Usage::Svid, ("node", key), san).await
    }

    async fn issue(
        name: &str,
        key: &PrivateKey,
        usage: Usage,
        (issuer, signer): (&str, &PrivateKey),
        san: &[u8],
    ) -> Certificate {
        let named = |name: &str| Subject {
            common_name: name.into(),
            organization: vec!["Acme".into()],
            ..Subject::default()
        };
        let now = SystemClock::shared().now();
        let san = ExtraExtension { oid: "2.5.29.17".into(), critical: false, value: san.to_vec() };
        let template = CertificateTemplate {
            serial: 7u128.to_be_bytes(),
            subject: named(name).to_name().unwrap(),
            not_before: now - std::time::Duration::from_secs(60),
            not_after: now + std::time::Duration::from_secs(3600),
            uri_san: String::new(),
            dns_sans: Vec::new(),
            extra_extensions: if usage == Usage::Svid { vec![san] } else { Vec::new() },
            usage,
        };
        let issuer = Issuer { name: named(issuer).to_name().unwrap(), key_id: None };
        let der = sign_certificate(&template, key.public_key(), &issuer, signer).await.unwrap();
        Certificate::parse(&der).unwrap()
    }

    fn uri_san(uri: &str) -> Vec<u8> {
        [&[0x30, uri.len() as u8 + 2, 0x86, uri.len() as u8], uri.as_bytes()].concat()
    }

    fn attestor(trust: Trust, template: &str, verify_client_ip: bool) -> X509Pop {
        let context = PluginContext { trust_domain: "td".parse().unwrap(), clock: SystemClock::shared() };
        let template = PathTemplate::parse(template, MISSING_FIELDS).unwrap();
        let settings =
            Settings { trust, template, max_intermediates: 4, max_rsa_key_bits: 8192, verify_client_ip };
        X509Pop { context, settings }
    }

    fn payload(leaf: &Certificate) -> Vec<u8> {
        let certificates = vec![Base64(leaf.der().to_vec())];
        serde_json::to_vec(&AttestationData { certificates }).unwrap()
    }

    #[test]
    fn everything_that_is_wrong_with_the_bundles_is_said() {
        // NA-052, SC-146
        let text = "ca_bundle_path = \"/none\"\nca_bundle_paths = [\"b\"]";
        let problems = Settings::read(&spire_config::parse(text).unwrap()).err().unwrap();
        let texts: Vec<String> = problems.iter().map(PluginError::rpc_text).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(
            texts[0].ends_with("only one of ca_bundle_path or ca_bundle_paths can be configured, not both")
        );
        assert!(
            texts[1]
                .ends_with("unable to load trust bundle \"/none\": open /none: no such file or directory")
        );
    }

    #[tokio::test]
    async fn a_node_must_call_from_an_address_of_its_certificate_if_that_is_asked_for() {
        // NA-056, NA-076
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let leaf = certificate(&key, &[0x30, 6, 0x87, 4, 10, 0, 0, 1]).await;
        let trust = || Trust::Configured(Roots::new(vec![leaf.clone()]).unwrap());
        for (address, expected) in [
            (Some("10.0.0.1"), Ok(())),
            (Some("::ffff:10.0.0.1"), Ok(())),
            (Some("10.0.0.2"), Err("client IP 10.0.0.2 does not match any certificate IP SAN")),
            (None, Err("client IP not available for verification")),
        ] {
            let address = address.map(|text| text.parse().unwrap());
            let mut node = Node { key: key.clone(), address, authorities: None };
            let attestor = attestor(trust(), TEMPLATE, true);
            let outcome = attestor.attest(&payload(&leaf), &mut node).await;
            assert_eq!(outcome.map(drop).map_err(|error| error.message), expected.map_err(str::to_owned));
        }
    }

    #[tokio::test]
    async fn an_svid_of_the_own_trust_domain_makes_an_agent_below_its_prefix_only() {
        // NA-074, NA-080, NA-441
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let leaf = certificate(&key, &uri_san("spiffe://td/spire-exchange/a/b?query")).await;
        let roots = Roots::new(vec![leaf.clone()]).unwrap();
        let own = |prefix: &str| Trust::Own { prefix: prefix.to_owned() };
        for (prefix, authorities, expected) in [
            ("/spire-exchange/", Some(roots.clone()), Ok("spiffe://td/spire/agent/x509pop/a/b")),
            ("/other/", Some(roots), Err("x509 cert doesnt match SVID prefix")),
            ("/spire-exchange/", None, Err("failed to get trust bundle: the server has no bundle yet")),
        ] {
            let mut node = Node { key: key.clone(), address: None, authorities };
            let outcome = attestor(own(prefix), OWN_TEMPLATE, false).attest(&payload(&leaf), &mut node).await;
            let outcome = outcome.map(|agent| agent.spiffe_id).map_err(|error| error.message);
            assert_eq!(outcome, expected.map(str::to_owned).map_err(str::to_owned));
        }
    }

    #[tokio::test]
    async fn every_authority_on_any_path_is_a_selector() {
        // NA-075, NA-082
        let keys = [(); 3].map(|()| PrivateKey::generate(KeyType::EcP256).unwrap());
        let [root_key, middle_key, key] = &keys;
        let root = issue("root", root_key, Usage::Ca, ("root", root_key), b"").await;
        let middle = issue("middle", middle_key, Usage::Ca, ("root", root_key), b"").await;
        let leaf =
            issue("node", key, Usage::Svid, ("middle", middle_key), &uri_san("x509pop://td/a%20b/c/d?e"))
                .await;
        let fingerprint =
            |authority: &Certificate| format!("ca:fingerprint:{}", hash::sha1_hex(authority.der()));
        let both = vec![fingerprint(&middle), fingerprint(&root)];
        for (bundle, sent, mut expected) in [
            (vec![&root], vec![&leaf, &middle], both.clone()),
            (vec![&middle], vec![&leaf], vec![fingerprint(&middle)]),
            (vec![&root, &middle], vec![&leaf], vec![fingerprint(&middle)]),
            (vec![&root, &middle], vec![&leaf, &middle], both),
            (vec![&leaf, &root], vec![&leaf, &middle], vec![]),
        ] {
            let roots = Roots::new(bundle.into_iter().cloned().collect()).unwrap();
            let attestor = attestor(Trust::Configured(roots), TEMPLATE, false);
            let certificates = sent.iter().map(|certificate| Base64(certificate.der().to_vec())).collect();
            let payload = serde_json::to_vec(&AttestationData { certificates }).unwrap();
            let mut node = Node { key: key.clone(), address: None, authorities: None };
            let mut selectors = attestor.attest(&payload, &mut node).await.unwrap().selector_values;
            expected.extend(["subject:cn:node", "serialnumber:07", "san:a b:c/d"].map(str::to_owned));
            expected.sort();
            selectors.sort();
            assert_eq!(selectors, expected);
        }
    }

    #[tokio::test]
    async fn templates_see_the_certificate() {
        // NA-290, NA-307
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let leaf = certificate(&key, &uri_san("x509pop://td/zone/eu-1")).await;
        let roots = Roots::new(vec![leaf.clone()]).unwrap();
        for (template, expected) in [
            ("/{{ .URISanSelectors.zone }}/{{ .Subject.CommonName | upper }}", Ok("/eu-1/NODE")),
            ("/{{ index .Subject.Organization 0 }}/{{ .SerialNumber }}/{{ .TrustDomain }}", Ok("/Acme/7/td")),
            ("/{{ if .SVIDPathTrimmed }}svid{{ else }}{{ .SerialNumberHex }}{{ end }}", Ok("/07")),
            ("/{{ index .URIs 0 | toString | trimPrefix \"x509pop://\" }}", Ok("/td/zone/eu-1")),
            (
                "{{ .PluginName }}",
                Err(
                    "failed to make spiffe id: invalid agent path suffix \"x509pop\": path must have a leading slash",
                ),
            ),
            (
                "/{{ .Nothing }}",
                Err(
                    "failed to make spiffe id: template: agent-path:1:4: executing \"agent-path\" at <.Nothing>: \
                     can't evaluate field Nothing in type x509pop.agentPathTemplateData",
                ),
            ),
        ] {
            let mut node = Node { key: key.clone(), address: None, authorities: None };
            let attestor = attestor(Trust::Configured(roots.clone()), template, false);
            let outcome = attestor.attest(&payload(&leaf), &mut node).await.map_err(|error| error.message);
            let expected =
                expected.map(|path| format!("spiffe://td/spire/agent{path}")).map_err(str::to_owned);
            assert_eq!(outcome.map(|agent| agent.spiffe_id), expected);
        }
    }

    #[test]
    fn a_validation_tells_every_problem() {
        // NA-031, NA-050 to NA-055
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let notes = |text: &str| match Settings::read(&spire_config::parse(text).unwrap()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>(),
        };
        assert_eq!(
            notes(
                r#"ca_bundle_path = "none" ca_bundle_paths = ["b"] max_intermediates = 0
                agent_path_template = "{{ x" max_rsa_key_size = -1 "#
            ),
            [
                "only one of ca_bundle_path or ca_bundle_paths can be configured, not both",
                "unable to load trust bundle \"none\": open none: no such file or directory",
                "failed to parse agent svid template: \"{{ x\"",
                "max_intermediates must be greater than 0",
                "max_rsa_key_size must be greater than 0",
            ]
        );
        let empty = empty.display();
        assert_eq!(
            notes(&format!(
                r#"ca_bundle_paths = ["{empty}", "none"] agent_path_template = "{{{{ uuidv4 }}}}""#
            )),
            [
                format!("unable to load trust bundle \"{empty}\": no certificates found in file"),
                "unable to load trust bundle \"none\": open none: no such file or directory".to_owned(),
                "agent_path_template uses the function \"uuidv4\", which is not built in this version"
                    .to_owned(),
            ]
        );
        assert_eq!(
            notes(r#"mode = "other" ca_bundle_path = "none""#),
            ["mode can only be either spiffe or external_pki"]
        );
    }
}
