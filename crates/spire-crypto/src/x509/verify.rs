//! Path validation, and X509-SVID verification on top of it.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use spire_types::{SpiffeId, SpiffeIdError, TrustDomain};
use time::OffsetDateTime;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};

use super::certificate::{Certificate, KeyUsage, X509Error};

/// Signature algorithms that a path may use; SHA-1 is not among them (CA-523).
static ALGORITHMS: &[&dyn rustls_pki_types::SignatureVerificationAlgorithm] = webpki::ALL_VERIFICATION_ALGS;

/// Why a chain does not lead to a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The agent recognises this text and thinks of a new bootstrap (CA-512).
    #[error("x509: certificate signed by unknown authority")]
    UnknownAuthority,
    #[error("x509: certificate has expired or is not yet valid: {0}")]
    Time(String),
    #[error("x509: {0}")]
    Other(String),
    #[error("the chain is empty")]
    Empty,
}

/// The roots of one trust domain, ready for verification.
#[derive(Debug, Clone)]
pub struct Roots {
    /// A certificate without an anchor is part of the bundle, but nothing is verified with it.
    anchors: Arc<[(Certificate, Option<TrustAnchor<'static>>)]>,
}

fn anchor_of(certificate: &Certificate) -> Result<TrustAnchor<'static>, X509Error> {
    let der = CertificateDer::from(certificate.der().to_vec());
    let anchor = anchor_from_trusted_cert(&der).map_err(|error| X509Error::Malformed(error.to_string()))?;
    Ok(anchor.to_owned())
}

impl Roots {
    /// Certificates that cannot be anchors are refused.
    pub fn new(certificates: Vec<Certificate>) -> Result<Self, X509Error> {
        let anchors = certificates
            .into_iter()
            .map(|certificate| {
                let anchor = anchor_of(&certificate)?;
                Ok((certificate, Some(anchor)))
            })
            .collect::<Result<_, X509Error>>()?;
        Ok(Self { anchors })
    }

    /// The roots of a bundle; each authority may hold several certificates. One that cannot be an anchor, for an
    /// unknown critical extension say, does not take the others with it (CA-523).
    pub fn of_bundle(bundle: &spire_types::Bundle) -> Result<Self, X509Error> {
        let mut certificates = Vec::with_capacity(bundle.x509_authorities.len());
        for authority in &bundle.x509_authorities {
            certificates.extend(Certificate::parse_many(&authority.der)?);
        }
        let with_anchor = |certificate| {
            let anchor = anchor_of(&certificate).ok();
            (certificate, anchor)
        };
        Ok(Self { anchors: certificates.into_iter().map(with_anchor).collect() })
    }

    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.anchors.iter().map(|(certificate, _)| certificate)
    }

    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }
}

/// SVIDs are accepted whatever their extended key usage says (CA-390).
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Finds a path from the first certificate to a root, the others as
/// intermediates; returns it with the root at its end.
pub fn verify_chain(
    chain: &[Certificate],
    roots: &Roots,
    at: OffsetDateTime,
) -> Result<Vec<Certificate>, VerifyError> {
    let (leaf, intermediates) = chain.split_first().ok_or(VerifyError::Empty)?;
    if roots.is_empty() {
        return Err(VerifyError::UnknownAuthority);
    }
    check_time(leaf, at)?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        u64::try_from(at.unix_timestamp()).unwrap_or_default(),
    ));
    // A root that has itself expired anchors nothing (CA-523).
    let anchors: Vec<TrustAnchor<'static>> = roots
        .anchors
        .iter()
        .filter(|(root, _)| check_time(root, at).is_ok())
        .filter_map(|(_, anchor)| anchor.clone())
        .collect();
    let leaf_der = CertificateDer::from(&leaf.der()[..]);
    let between: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|c| CertificateDer::from(&c.der()[..])).collect();
    let end_entity =
        EndEntityCert::try_from(&leaf_der).map_err(|error| VerifyError::Other(error.to_string()))?;
    let path = end_entity
        .verify_for_usage(ALGORITHMS, &anchors, &between, now, AnyUsage, None, None)
        .map_err(|error| classify(&error))?;
    let mut found = vec![leaf.clone()];
    for intermediate in path.intermediate_certificates() {
        let der = intermediate.der();
        found.extend(intermediates.iter().find(|c| c.der()[..] == *der).cloned());
    }
    let anchor = path.anchor();
    found
        .extend(roots.anchors.iter().find(|(_, a)| a.as_ref() == Some(anchor)).map(|(root, _)| root.clone()));
    Ok(found)
}

fn check_time(certificate: &Certificate, at: OffsetDateTime) -> Result<(), VerifyError> {
    let rfc3339 = |time: OffsetDateTime| {
        time.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
    };
    if at < certificate.not_before() {
        let when = rfc3339(certificate.not_before());
        return Err(VerifyError::Time(format!("current time {} is before {when}", rfc3339(at))));
    }
    if at.unix_timestamp() > certificate.not_after_unix() {
        let when = rfc3339(certificate.not_after());
        return Err(VerifyError::Time(format!("current time {} is after {when}", rfc3339(at))));
    }
    Ok(())
}

fn classify(error: &webpki::Error) -> VerifyError {
    match error {
        webpki::Error::UnknownIssuer => VerifyError::UnknownAuthority,
        // The issuer's name fits a root whose key did not sign: nobody we know.
        webpki::Error::InvalidSignatureForPublicKey => VerifyError::UnknownAuthority,
        webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
            VerifyError::Time("a certificate of the chain".to_owned())
        }
        other => VerifyError::Other(other.to_string()),
    }
}

/// Whether the chain leads to one of these roots; any failure but an unknown
/// authority is an error (CA-116).
pub fn chains_to(chain: &[Certificate], roots: &Roots, at: OffsetDateTime) -> Result<bool, VerifyError> {
    match verify_chain(chain, roots, at) {
        Ok(_) => Ok(true),
        Err(VerifyError::UnknownAuthority) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Why a peer's certificate is not an X509-SVID that we accept (CA-520, CA-521).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    #[error("x509svid: unable to parse certificate: {0}")]
    Parse(String),
    #[error("x509svid: could not get leaf SPIFFE ID: {0}")]
    LeafId(String),
    #[error("x509svid: {0}")]
    Leaf(&'static str),
    #[error("x509svid: could not get X509 bundle: no bundle found for trust domain \"{0}\"")]
    NoBundle(TrustDomain),
    #[error("x509svid: could not verify leaf certificate: {0}")]
    Chain(#[source] VerifyError),
}

/// The SPIFFE ID of a leaf: exactly one URI SAN, valid, with a path (CA-378, CA-380).
pub fn leaf_spiffe_id(leaf: &Certificate) -> Result<SpiffeId, PeerError> {
    let id = match leaf.uri_sans() {
        [] => return Err(PeerError::LeafId("certificate contains no URI SAN".to_owned())),
        [one] => one.parse::<SpiffeId>().map_err(|e: SpiffeIdError| PeerError::LeafId(e.to_string()))?,
        _ => return Err(PeerError::LeafId("certificate contains more than one URI SAN".to_owned())),
    };
    if id.path().is_empty() {
        return Err(PeerError::LeafId("path is empty".to_owned()));
    }
    Ok(id)
}

/// Verifies a peer's chain with the roots of the leaf's own trust domain (CA-520).
pub fn verify_x509_svid(
    chain: &[Certificate],
    roots_of: impl Fn(&TrustDomain) -> Option<Roots>,
    at: OffsetDateTime,
) -> Result<SpiffeId, PeerError> {
    let leaf = chain.first().ok_or_else(|| PeerError::Parse("the chain is empty".to_owned()))?;
    let id = leaf_spiffe_id(leaf)?;
    if leaf.is_ca() {
        return Err(PeerError::Leaf("leaf certificate with CA flag set to true"));
    }
    if leaf.key_usage().is_some_and(|usage| usage.contains(KeyUsage::KEY_CERT_SIGN)) {
        return Err(PeerError::Leaf("leaf certificate with KeyCertSign key usage"));
    }
    if leaf.key_usage().is_some_and(|usage| usage.contains(KeyUsage::CRL_SIGN)) {
        return Err(PeerError::Leaf("leaf certificate with KeyCrlSign key usage"));
    }
    let roots = roots_of(id.trust_domain()).ok_or_else(|| PeerError::NoBundle(id.trust_domain().clone()))?;
    verify_chain(chain, &roots, at).map_err(PeerError::Chain)?;
    Ok(id)
}
