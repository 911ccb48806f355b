use std::sync::Arc;
use std::time::Duration;

use spire_crypto::x509::{
    Certificate, CertificateTemplate, DistinguishedName, Issuer, Subject, Usage, X509Error, sign_certificate,
};
use spire_crypto::{PublicKey, random};
use spire_plugin::ManagedKey;
use spire_types::{SpiffeId, X509Svid};
use time::OffsetDateTime;

use super::{Authority, IssueError};
use crate::settings::CredentialSettings;
use crate::validate;

/// Certificates begin this long before now (CA-014).
const BACKDATE: Duration = Duration::from_secs(10);

/// An X.509 authority, with all that signing wants of it made once.
#[derive(Debug)]
pub(crate) struct ActiveX509 {
    pub(crate) key: Arc<dyn ManagedKey>,
    pub(crate) certificate: Certificate,
    pub(crate) authority_id: String,
    issuer: Issuer,
    /// Of downstream authorities (CA-216).
    downstream_subject: DistinguishedName,
}

impl ActiveX509 {
    pub(crate) fn new(key: Arc<dyn ManagedKey>, certificate: Certificate) -> Result<Self, X509Error> {
        let key_id = match certificate.subject_key_id() {
            Some(id) => id.to_vec(),
            None => key.public_key().subject_key_id().to_vec(),
        };
        let mut downstream = certificate.subject().to_subject();
        // The number of certificates above: a self-signed root is one.
        downstream.organizational_unit = vec!["DOWNSTREAM-1".to_owned()];
        Ok(Self {
            authority_id: certificate.subject_key_id_hex()?,
            issuer: Issuer { name: certificate.subject().clone(), key_id: Some(key_id) },
            downstream_subject: downstream.to_name()?,
            key,
            certificate,
        })
    }
}

/// What a workload's certificate is to say.
#[derive(Debug, Clone)]
pub struct WorkloadSvidParams {
    pub spiffe_id: SpiffeId,
    pub public_key: PublicKey,
    /// Zero: the default.
    pub ttl: Duration,
    /// The first becomes the common name (CA-219).
    pub dns_names: Vec<String>,
    /// Instead of the usual one, even if it has no attribute (CA-220).
    pub subject: Option<Subject>,
}

/// `C=US, O=SPIRE` (CA-217).
pub(super) fn svid_subject(common_name: Option<&String>) -> Subject {
    Subject {
        country: vec!["US".to_owned()],
        organization: vec!["SPIRE".to_owned()],
        common_name: common_name.cloned().unwrap_or_default(),
        ..Subject::default()
    }
}

fn or_default(ttl: Duration, default: Duration) -> Duration {
    if ttl.is_zero() { default } else { ttl }
}

/// Validity from now, cut to the parent's end (CA-202).
fn validity(
    now: OffsetDateTime,
    ttl: Duration,
    parent_end: Option<OffsetDateTime>,
) -> (OffsetDateTime, OffsetDateTime) {
    let end = now.checked_add(ttl.try_into().unwrap_or(time::Duration::MAX)).unwrap_or(
        // The last second that X.509 can write.
        time::macros::datetime!(9999-12-31 23:59:59 UTC),
    );
    (now - BACKDATE, parent_end.map_or(end, |parent| end.min(parent)))
}

/// The root, too, is called downstream; people search for the text (CA-063, CA-556).
fn check_authority(
    certificate: &Certificate,
    settings: &CredentialSettings,
    now: OffsetDateTime,
) -> Result<(), IssueError> {
    validate::authority(certificate, &settings.trust_domain, now)
        .map_err(|invalid| IssueError::Invalid("downstream X509 CA", invalid))
}

/// A new self-signed root for `key` (CA-213).
pub(crate) async fn self_signed(
    settings: &CredentialSettings,
    key: &dyn ManagedKey,
    now: OffsetDateTime,
) -> Result<Certificate, IssueError> {
    let serial = random::serial_number()?;
    let mut subject = settings.ca_subject.clone();
    subject.serial_number = u128::from_be_bytes(serial).to_string();
    let name = subject.to_name()?;
    let (not_before, not_after) = validity(now, settings.ca_ttl, None);
    let template = CertificateTemplate {
        serial,
        subject: name.clone(),
        not_before,
        not_after,
        uri_san: settings.trust_domain.id_string(),
        dns_sans: Vec::new(),
        usage: Usage::Ca,
        extra_extensions: Vec::new(),
    };
    let der = sign_certificate(&template, key.public_key(), &Issuer { name, key_id: None }, key).await?;
    let certificate = Certificate::parse(&der)?;
    check_authority(&certificate, settings, now)?;
    Ok(certificate)
}

impl Authority {
    /// For `<td>/spire/server` (CA-217).
    pub async fn sign_server_svid(&self, key: &PublicKey) -> Result<X509Svid, IssueError> {
        let id = SpiffeId::server(&self.settings.trust_domain);
        let ttl = self.settings.x509_svid_ttl;
        self.sign_svid("server X509-SVID", id, key, self.svid_subject.clone(), Vec::new(), ttl).await
    }

    /// For an agent (CA-218).
    pub async fn sign_agent_svid(&self, id: &SpiffeId, key: &PublicKey) -> Result<X509Svid, IssueError> {
        let ttl = self.settings.agent_svid_ttl.unwrap_or(self.settings.x509_svid_ttl);
        self.sign_svid("agent X509-SVID", id.clone(), key, self.svid_subject.clone(), Vec::new(), ttl).await
    }

    /// For a workload (CA-219, CA-220).
    pub async fn sign_workload_svid(&self, params: WorkloadSvidParams) -> Result<X509Svid, IssueError> {
        let first = params.dns_names.first();
        let subject = match params.subject {
            Some(mut subject) => {
                if let Some(name) = first {
                    subject.common_name.clone_from(name);
                }
                subject.to_name()?
            }
            None if first.is_none() => self.svid_subject.clone(),
            None => svid_subject(first).to_name()?,
        };
        let ttl = or_default(params.ttl, self.settings.x509_svid_ttl);
        let (id, names) = (params.spiffe_id, params.dns_names);
        self.sign_svid("workload X509-SVID", id, &params.public_key, subject, names, ttl).await
    }

    /// A CA for a server below this one; the chain and nothing of the root (CA-216, CA-229).
    pub async fn sign_downstream_ca(
        &self,
        key: &PublicKey,
        ttl: Duration,
    ) -> Result<Vec<Arc<[u8]>>, IssueError> {
        let authority = self.x509.load_full().ok_or(IssueError::NoX509Authority)?;
        let now = self.clock.now();
        let ttl = or_default(ttl, self.settings.ca_ttl);
        let (not_before, not_after) = validity(now, ttl, Some(authority.certificate.not_after()));
        let template = CertificateTemplate {
            serial: random::serial_number()?,
            subject: authority.downstream_subject.clone(),
            not_before,
            not_after,
            uri_san: self.settings.trust_domain.id_string(),
            dns_sans: Vec::new(),
            usage: Usage::Ca,
            extra_extensions: Vec::new(),
        };
        let der = sign_certificate(&template, key, &authority.issuer, &*authority.key).await?;
        let certificate = Certificate::parse(&der)?;
        check_authority(&certificate, &self.settings, now)?;
        Ok(vec![certificate.der().clone()])
    }

    /// The template has exactly what CA-242 to CA-245 ask for, so the result
    /// is not read again to check it; only its validity depends on anything.
    async fn sign_svid(
        &self,
        what: &'static str,
        id: SpiffeId,
        key: &PublicKey,
        subject: DistinguishedName,
        dns_sans: Vec<String>,
        ttl: Duration,
    ) -> Result<X509Svid, IssueError> {
        self.check_id(&id)?;
        let authority = self.x509.load_full().ok_or(IssueError::NoX509Authority)?;
        let now = self.clock.now();
        let (not_before, not_after) = validity(now, ttl, Some(authority.certificate.not_after()));
        validate::window("X509-SVID", not_before, not_after, now)
            .map_err(|invalid| IssueError::Invalid(what, invalid))?;
        let template = CertificateTemplate {
            serial: random::serial_number()?,
            subject,
            not_before,
            not_after,
            uri_san: id.to_string(),
            dns_sans,
            usage: Usage::Svid,
            extra_extensions: Vec::new(),
        };
        let der = sign_certificate(&template, key, &authority.issuer, &*authority.key).await?;
        Ok(X509Svid {
            id,
            cert_chain: vec![der.into()],
            expires_at: not_after.unix_timestamp(),
            hint: String::new(),
        })
    }
}
