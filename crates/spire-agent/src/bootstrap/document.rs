//! Trust bundles as files and downloads hold them (AG-212, AG-216).

use spire_crypto::bundle_document::{Reader, unmarshal};
use spire_crypto::pem;
use spire_crypto::x509::{Certificate, Roots, X509Error};
use spire_types::TrustDomain;

use super::BootstrapError;
use crate::settings::BundleFormat;

/// The X.509 authorities of a document; at least one.
pub(super) fn parse(
    document: &[u8],
    format: BundleFormat,
    trust_domain: &TrustDomain,
) -> Result<Vec<Certificate>, BootstrapError> {
    let certificates = match format {
        BundleFormat::Pem => {
            pem::parse_certificates(document).map_err(|error| BootstrapError::Source(error.to_string()))?
        }
        BundleFormat::Spiffe => spiffe(document, trust_domain).map_err(|reason| {
            BootstrapError::Source(format!("unable to parse SPIFFE trust bundle: {reason}"))
        })?,
    };
    if certificates.is_empty() {
        return Err(BootstrapError::Source("no certificates found in trust bundle".to_owned()));
    }
    Ok(certificates)
}

fn spiffe(document: &[u8], trust_domain: &TrustDomain) -> Result<Vec<Certificate>, String> {
    let bundle = unmarshal(trust_domain.clone(), document, Reader::Spire).map_err(|e| e.to_string())?;
    let roots = Roots::of_bundle(&bundle).map_err(|error: X509Error| error.to_string())?;
    Ok(roots.certificates().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;

    fn domain() -> TrustDomain {
        TrustDomain::from_name("example.org").unwrap()
    }

    #[tokio::test]
    async fn both_formats_are_read_and_an_empty_bundle_is_refused() {
        // AG-212, AG-216: an agent that trusts nobody would fail much later and less clearly.
        let ca = TestCa::new("example.org").await;
        let text = pem::encode_certificate(ca.certificate.der());
        let parsed = parse(text.as_bytes(), BundleFormat::Pem, &domain()).unwrap();
        assert_eq!(parsed, [ca.certificate]);
        for (text, format, error) in [
            ("", BundleFormat::Pem, "no PEM blocks"),
            ("{\"keys\":[]}", BundleFormat::Spiffe, "no certificates found in trust bundle"),
        ] {
            assert_eq!(parse(text.as_bytes(), format, &domain()).unwrap_err().to_string(), error);
        }
        let error = parse(b"[]", BundleFormat::Spiffe, &domain()).unwrap_err().to_string();
        assert!(error.starts_with("unable to parse SPIFFE trust bundle: "), "{error}");
    }
}
