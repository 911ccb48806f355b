//! Path validation, and X509-SVID verification on top of it.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use spire_types::{SpiffeId, SpiffeIdError, TrustDomain};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};

use super::certificate::{Certificate, KeyUsage, X509Error, at};

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
    anchors: Arc<[Root]>,
}

type Root = (Certificate, Option<TrustAnchor<'static>>);

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
    let leaf = chain.first().ok_or(VerifyError::Empty)?;
    if roots.is_empty() {
        return Err(VerifyError::UnknownAuthority);
    }
    check_time(leaf, at)?;
    let in_time = |(root, _): &&Root| check_time(root, at).is_ok();
    let found = find_path(chain, roots.anchors.iter().filter(in_time), at);
    match found {
        Err(VerifyError::UnknownAuthority) => Err(who_is_to_blame(chain, roots, at)),
        found => found,
    }
}

/// A root outside of its time anchors nothing (CA-523), but the authority is known all the same. An agent whose clock is
/// wrong must not think that its server has got another one (CA-512).
fn who_is_to_blame(chain: &[Certificate], roots: &Roots, at: OffsetDateTime) -> VerifyError {
    let blame = |root: &Root| {
        let outside = check_time(&root.0, at).err()?;
        match find_path(chain, std::iter::once(root), at) {
            Ok(_) => Some(outside),
            Err(VerifyError::UnknownAuthority) => None,
            Err(other) => Some(other),
        }
    };
    roots.anchors.iter().find_map(blame).unwrap_or(VerifyError::UnknownAuthority)
}

/// [`verify_chain`] to one of these roots, which are not themselves looked at.
fn find_path<'a>(
    chain: &[Certificate],
    roots: impl Iterator<Item = &'a Root>,
    at: OffsetDateTime,
) -> Result<Vec<Certificate>, VerifyError> {
    let (leaf, intermediates) = chain.split_first().ok_or(VerifyError::Empty)?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        u64::try_from(at.unix_timestamp()).unwrap_or_default(),
    ));
    let (roots, anchors): (Vec<&Certificate>, Vec<TrustAnchor<'static>>) =
        roots.filter_map(|(root, anchor)| anchor.clone().map(|anchor| (root, anchor))).unzip();
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
    let root = anchors.iter().position(|anchor| anchor == path.anchor());
    found.extend(root.and_then(|root| roots.get(root)).copied().cloned());
    Ok(found)
}

/// Names fit for more paths than these only if somebody wants to keep us busy.
const MOST_PATHS: usize = 64;

/// All paths from the first certificate to a root, as Go finds them; at least one (NA-075, NA-082).
///
/// A leaf that is a root itself is its own path. Any root may end a path, and a certificate that is a root and an
/// intermediate does both.
pub fn verify_chains(
    chain: &[Certificate],
    roots: &Roots,
    at: OffsetDateTime,
) -> Result<Vec<Vec<Certificate>>, VerifyError> {
    let (leaf, intermediates) = chain.split_first().ok_or(VerifyError::Empty)?;
    if roots.anchors.iter().any(|(root, anchor)| anchor.is_some() && root == leaf) {
        check_time(leaf, at)?;
        return Ok(vec![vec![leaf.clone()]]);
    }
    let mut found = vec![verify_chain(chain, roots, at)?];
    for path in named_paths(leaf, intermediates, roots) {
        let Some((root, below)) = path.split_last() else { continue };
        let Ok(root) = Roots::new(vec![root.clone()]) else { continue };
        if let Ok(verified) = verify_chain(below, &root, at)
            && !found.contains(&verified)
        {
            found.push(verified);
        }
    }
    Ok(found)
}

/// Paths in which each certificate names the next as its issuer; nothing is verified.
fn named_paths(leaf: &Certificate, intermediates: &[Certificate], roots: &Roots) -> Vec<Vec<Certificate>> {
    let mut complete = Vec::new();
    let mut open = vec![vec![leaf.clone()]];
    while let Some(path) = open.pop() {
        let Some(last) = path.last() else { continue };
        let issued = |issuer: &&Certificate| issuer.subject() == last.issuer() && !path.contains(issuer);
        let with = |issuer: &Certificate| [&path[..], std::slice::from_ref(issuer)].concat();
        complete.extend(roots.certificates().filter(issued).map(with));
        open.extend(intermediates.iter().filter(issued).map(with));
        if complete.len() + open.len() >= MOST_PATHS {
            break;
        }
    }
    complete.truncate(MOST_PATHS);
    complete
}

fn check_time(certificate: &Certificate, at: OffsetDateTime) -> Result<(), VerifyError> {
    if at < certificate.not_before() {
        return Err(out_of_time(at.unix_timestamp(), "before", certificate.not_before_unix()));
    }
    if at.unix_timestamp() > certificate.not_after_unix() {
        return Err(out_of_time(at.unix_timestamp(), "after", certificate.not_after_unix()));
    }
    Ok(())
}

fn out_of_time(now: i64, is: &str, limit: i64) -> VerifyError {
    let text = |seconds| at(seconds).format(&Rfc3339).unwrap_or_default();
    VerifyError::Time(format!("current time {} is {is} {}", text(now), text(limit)))
}

fn seconds(time: &UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn classify(error: &webpki::Error) -> VerifyError {
    match error {
        webpki::Error::UnknownIssuer => VerifyError::UnknownAuthority,
        // The issuer's name fits a root whose key did not sign, or could not have: nobody we know.
        webpki::Error::InvalidSignatureForPublicKey
        | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => VerifyError::UnknownAuthority,
        webpki::Error::CertNotValidYet { time, not_before } => {
            out_of_time(seconds(time), "before", seconds(not_before))
        }
        webpki::Error::CertExpired { time, not_after } => {
            out_of_time(seconds(time), "after", seconds(not_after))
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

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::key::{KeyType, PrivateKey};
    use crate::x509::{CertificateTemplate, ExtraExtension, Issuer, Subject, Usage, sign_certificate};

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap()
    }

    /// A certificate with its key.
    struct Party {
        key: PrivateKey,
        certificate: Certificate,
    }

    type Change = fn(&mut CertificateTemplate);

    fn issue(name: &str, uri: &str, usage: Usage, signer: Option<&Party>, change: Change) -> Party {
        issue_to(KeyType::EcP256, name, uri, usage, signer, change)
    }

    fn issue_to(
        kind: KeyType,
        name: &str,
        uri: &str,
        usage: Usage,
        signer: Option<&Party>,
        change: Change,
    ) -> Party {
        let key = PrivateKey::generate(kind).unwrap();
        let name = Subject { common_name: name.into(), ..Subject::default() }.to_name().unwrap();
        let mut template = CertificateTemplate {
            serial: [1; 16],
            subject: name.clone(),
            not_before: now() - Duration::HOUR,
            not_after: now() + Duration::HOUR,
            uri_san: uri.into(),
            dns_sans: Vec::new(),
            usage,
            extra_extensions: Vec::new(),
        };
        change(&mut template);
        let name = signer.map_or(name, |signer| signer.certificate.subject().clone());
        let issuer =
            Issuer { name, key_id: signer.map(|signer| signer.key.public_key().subject_key_id().to_vec()) };
        let by = signer.map_or(&key, |signer| &signer.key);
        let mut signed = std::pin::pin!(sign_certificate(&template, key.public_key(), &issuer, by));
        let std::task::Poll::Ready(der) =
            signed.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
        else {
            panic!("a local key does not wait")
        };
        Party { certificate: Certificate::parse(&der.unwrap()).unwrap(), key: key.clone() }
    }

    fn authority(name: &str, signer: Option<&Party>, change: Change) -> Party {
        issue(name, "spiffe://td", Usage::Ca, signer, change)
    }

    fn leaf(uri: &str, signer: &Party, change: Change) -> Party {
        issue("leaf", uri, Usage::Svid, Some(signer), change)
    }

    /// Instead of the extension of the same OID, or as one more.
    fn put(template: &mut CertificateTemplate, oid: &str, critical: bool, value: &str) {
        let value = hex::decode(value).unwrap();
        template.extra_extensions.push(ExtraExtension { oid: oid.into(), critical, value });
    }

    fn verify(chain: &[&Party], root: &Party) -> Result<String, String> {
        let chain: Vec<Certificate> = chain.iter().map(|party| party.certificate.clone()).collect();
        let roots = Roots::new(vec![root.certificate.clone()]).unwrap();
        let roots_of = |td: &TrustDomain| matches!(td.as_str(), "td" | "1.2.3.4").then(|| roots.clone());
        verify_x509_svid(&chain, roots_of, now()).map(|id| id.to_string()).map_err(|error| error.to_string())
    }

    const SAN: &str = "2.5.29.17";
    const KEY_USAGE: &str = "2.5.29.15";
    const EXTENDED: &str = "2.5.29.37";
    const BASIC: &str = "2.5.29.19";

    #[test]
    fn svids_are_accepted_with_all_that_the_standard_leaves_open() {
        // CA-374, CA-379, CA-381, CA-387 to CA-390
        let root = authority("root", None, |_| {});
        let changes: [Change; 6] = [
            |_| {},
            |t| t.dns_sans = vec!["db".into()],
            |t| t.subject = Subject::default().to_name().unwrap(),
            // digitalSignature alone; clientAuth alone; an absent extended usage cannot be made here
            |t| put(t, KEY_USAGE, true, "03020780"),
            |t| put(t, EXTENDED, false, "300a06082b06010505070302"),
            |t| put(t, "1.2.3.4", false, "0500"),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let leaf = leaf("spiffe://td/w", &root, change);
            assert_eq!(verify(&[&leaf], &root).as_deref(), Ok("spiffe://td/w"), "{index}");
        }
        let leaf = leaf("spiffe://1.2.3.4/x", &root, |_| {});
        assert!(verify(&[&leaf], &root).is_ok(), "a name like an address is a name");
    }

    #[test]
    fn svids_with_a_flaw_are_refused_by_its_name() {
        // CA-378, CA-380, CA-384, CA-391, CA-413, CA-520, CA-521, CA-523
        let root = authority("root", None, |_| {});
        let id = "x509svid: could not get leaf SPIFFE ID: ";
        let chain = "x509svid: could not verify leaf certificate: ";
        let expired =
            "x509: certificate has expired or is not yet valid: current time 2023-11-14T22:13:20Z is ";
        let cases: [(&str, Change, String); 12] = [
            (
                "spiffe://td/w",
                |t| put(t, SAN, false, "301486087370696666653a2f86087370696666653a2f"),
                format!("{id}certificate contains more than one URI SAN"),
            ),
            (
                "spiffe://td/w",
                |t| put(t, SAN, false, "300482026462"),
                format!("{id}certificate contains no URI SAN"),
            ),
            ("https://td/w", |_| {}, format!("{id}scheme is missing or invalid")),
            ("spiffe://td", |_| {}, format!("{id}path is empty")),
            ("spiffe://td/", |_| {}, format!("{id}path cannot have a trailing slash")),
            (
                "spiffe://td/w",
                |t| put(t, BASIC, true, "30030101ff"),
                "x509svid: leaf certificate with CA flag set to true".into(),
            ),
            (
                "spiffe://td/w",
                |t| put(t, KEY_USAGE, true, "03020284"),
                "x509svid: leaf certificate with KeyCertSign key usage".into(),
            ),
            (
                "spiffe://td/w",
                |t| put(t, KEY_USAGE, true, "03020182"),
                "x509svid: leaf certificate with KeyCrlSign key usage".into(),
            ),
            (
                "spiffe://other/w",
                |_| {},
                "x509svid: could not get X509 bundle: no bundle found for trust domain \"other\"".into(),
            ),
            (
                "spiffe://td/w",
                |t| t.not_after = now() - Duration::SECOND,
                format!("{chain}{expired}after 2023-11-14T22:13:19Z"),
            ),
            (
                "spiffe://td/w",
                |t| t.not_before = now() + Duration::SECOND,
                format!("{chain}{expired}before 2023-11-14T22:13:21Z"),
            ),
            (
                "spiffe://td/w",
                |t| put(t, "1.2.3.4", true, "0500"),
                format!("{chain}x509: UnsupportedCriticalExtension"),
            ),
        ];
        for (uri, change, expected) in cases {
            assert_eq!(verify(&[&leaf(uri, &root, change)], &root).unwrap_err(), expected);
        }
        let stranger = authority("root", None, |_| {});
        assert_eq!(
            verify(&[&leaf("spiffe://td/w", &stranger, |_| {})], &root).unwrap_err(),
            format!("{chain}x509: certificate signed by unknown authority"),
            "CA-512"
        );
        assert!(verify(&[], &root).is_err());
    }

    #[test]
    fn paths_lead_to_any_certificate_of_the_bundle_within_their_limits() {
        // CA-383, CA-385, CA-386, CA-390, CA-394, CA-523
        let root = authority("root", None, |_| {});
        let middle = authority("middle", Some(&root), |t| put(t, BASIC, true, "30060101ff020100"));
        let below = authority("below", Some(&middle), |_| {});
        let near = leaf("spiffe://td/w", &middle, |_| {});
        let far = leaf("spiffe://td/w", &below, |_| {});
        let unknown = "x509: certificate signed by unknown authority";
        assert!(verify(&[&near, &middle], &root).is_ok());
        assert!(verify(&[&near], &root).unwrap_err().ends_with(unknown), "no intermediate");
        assert!(verify(&[&near], &middle).is_ok(), "a root need not be self-signed");
        assert!(verify(&[&far, &below, &middle], &root).is_err(), "pathLenConstraint 0");
        let odd = issue("odd", "spiffe://td/path", Usage::Ca, None, |_| {});
        assert!(
            verify(&[&leaf("spiffe://td/w", &odd, |_| {})], &odd).is_ok(),
            "IDs of authorities are not read"
        );
        // Permitted URIs of "td": the library does not know such constraints, and so refuses.
        let bound = authority("bound", None, |t| put(t, "2.5.29.30", true, "3008a006300486027464"));
        assert!(verify(&[&leaf("spiffe://td/w", &bound, |_| {})], &bound).is_err());
    }

    #[test]
    fn an_authority_outside_of_its_time_is_not_an_unknown_one() {
        // CA-116, CA-512, CA-523; the texts are Go's.
        let stale: Change = |t| t.not_after = now() - Duration::SECOND;
        let early: Change = |t| t.not_before = now() + Duration::SECOND;
        let after = "x509: certificate has expired or is not yet valid: \
                     current time 2023-11-14T22:13:20Z is after 2023-11-14T22:13:19Z";
        let before = "x509: certificate has expired or is not yet valid: \
                      current time 2023-11-14T22:13:20Z is before 2023-11-14T22:13:21Z";
        let unknown = "x509: certificate signed by unknown authority";
        let (root, other) = (authority("root", None, |_| {}), authority("other", None, |_| {}));
        let (old, new) = (authority("old", None, stale), authority("new", None, early));
        let namesake = authority("new", None, |_| {});
        let (middle, late) = (authority("middle", Some(&new), |_| {}), authority("late", Some(&root), stale));
        let rsa = |change| issue_to(KeyType::Rsa2048, "root", "spiffe://td", Usage::Ca, None, change);
        let (rekeyed, rekeyed_long_ago) = (rsa(|_| {}), rsa(stale));
        let leaf = |signer| leaf("spiffe://td/w", signer, |_| {});
        for (chain, roots, expected) in [
            (vec![&leaf(&root)], vec![&rekeyed], unknown),
            (vec![&leaf(&root)], vec![&rekeyed_long_ago], unknown),
            (vec![&leaf(&old)], vec![&other, &old], after),
            (vec![&leaf(&new)], vec![&new, &other], before),
            (vec![&leaf(&new)], vec![&namesake, &new], before),
            (vec![&leaf(&middle), &middle], vec![&new], before),
            (vec![&leaf(&late), &late], vec![&root], after),
            (vec![&leaf(&namesake)], vec![&new], unknown),
            (vec![&leaf(&root)], vec![&old, &new], unknown),
        ] {
            let certificates =
                |parties: Vec<&Party>| parties.into_iter().map(|party| party.certificate.clone()).collect();
            let (chain, roots): (Vec<_>, _) = (certificates(chain), Roots::new(certificates(roots)).unwrap());
            let moment = now() + Duration::MILLISECOND;
            assert_eq!(verify_chain(&chain, &roots, moment).unwrap_err().to_string(), expected);
            assert_eq!(chains_to(&chain, &roots, moment).is_err(), expected != unknown);
        }
    }

    #[test]
    fn a_chain_leads_to_tainted_roots_or_not_and_all_else_is_an_error() {
        // CA-116
        let (root, other) = (authority("root", None, |_| {}), authority("other", None, |_| {}));
        let roots = |party: &Party| Roots::new(vec![party.certificate.clone()]).unwrap();
        let good = [leaf("spiffe://td/w", &root, |_| {}).certificate];
        assert_eq!(chains_to(&good, &roots(&root), now()), Ok(true));
        assert_eq!(chains_to(&good, &roots(&other), now()), Ok(false));
        assert_eq!(chains_to(&good, &Roots::new(Vec::new()).unwrap(), now()), Ok(false));
        assert!(chains_to(&good, &roots(&root), now() + Duration::DAY).is_err());
    }
}
