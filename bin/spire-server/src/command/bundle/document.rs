//! Bundles as text: PEM and the SPIFFE document (SC-290 to SC-295, SC-312).

use spire_crypto::bundle_document::{self, Contents, DocumentError, Reader};
use spire_crypto::pem;
use spire_crypto::x509::Certificate;
use spire_proto::convert::bundle::{bundle_from_peer, bundle_to_wire};
use spire_proto::types::{Bundle, X509Certificate};
use spire_types::{BundleMask, TrustDomain};

/// How a bundle is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum BundleFormat {
    /// The X.509 authorities alone.
    Pem,
    Spiffe,
}

pub(in crate::command) const PEM: &str = "pem";
pub(in crate::command) const SPIFFE: &str = "spiffe";

impl BundleFormat {
    /// In any case; empty is PEM.
    pub(in crate::command) fn parse(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "" | PEM => Ok(Self::Pem),
            SPIFFE => Ok(Self::Spiffe),
            other => Err(format!("invalid format: {}", spire_runtime::logging::go_quote(other))),
        }
    }
}

/// The text of a bundle, with the end of its last line.
pub(in crate::command) fn write(bundle: &Bundle, format: BundleFormat) -> Result<String, String> {
    match format {
        BundleFormat::Pem => bundle.x509_authorities.iter().map(write_pem).collect(),
        BundleFormat::Spiffe => write_spiffe(bundle),
    }
}

/// One authority may hold several certificates in a row.
fn write_pem(authority: &X509Certificate) -> Result<String, String> {
    let certificates = Certificate::parse_many(&authority.asn1)
        .map_err(|error| format!("unable to parse certificates ASN.1 DER data: {error}"))?;
    Ok(certificates.iter().map(|certificate| pem::encode_certificate(certificate.der())).collect())
}

fn write_spiffe(bundle: &Bundle) -> Result<String, String> {
    let bundle = bundle_from_peer(bundle).map_err(|error| error.to_string())?;
    let contents = Contents { null_when_empty: true, ..Contents::SPIFFE };
    let document = bundle_document::marshal(&bundle, contents).map_err(|error| error.to_string())?;
    Ok(format!("{}\n", String::from_utf8_lossy(&document)))
}

/// Reads a bundle of the trust domain `id`, which is a name or a SPIFFE ID.
pub(in crate::command) fn read(data: &[u8], format: BundleFormat, id: &str) -> Result<Bundle, String> {
    match format {
        BundleFormat::Pem => read_pem(data, id),
        BundleFormat::Spiffe => read_spiffe(data, id),
    }
}

fn read_pem(data: &[u8], id: &str) -> Result<Bundle, String> {
    let certificates =
        pem::parse_certificates(data).map_err(|error| format!("unable to parse bundle data: {error}"))?;
    let authority = |certificate: &Certificate| X509Certificate {
        asn1: certificate.der().to_vec().into(),
        tainted: false,
    };
    // The server judges the id.
    Ok(Bundle {
        trust_domain: id.to_owned(),
        x509_authorities: certificates.iter().map(authority).collect(),
        ..Bundle::default()
    })
}

fn read_spiffe(data: &[u8], id: &str) -> Result<Bundle, String> {
    let trust_domain = TrustDomain::parse(id).map_err(|error| error.to_string())?;
    let bundle = bundle_document::unmarshal(trust_domain, data, Reader::GoSpiffe)
        .map_err(|error| format!("unable to parse to {}", reason(&error)))?;
    Ok(bundle_to_wire(&bundle, &BundleMask::ALL))
}

/// The words of go-spiffe, or of what makes a message of its bundle.
fn reason(error: &DocumentError) -> String {
    let reason = match error {
        DocumentError::NotPublic(_) => return format!("type bundle: {error}"),
        DocumentError::NoKeyId { use_: "jwt-svid", index } => {
            format!("error adding authority {index} of JWKS: keyID cannot be empty")
        }
        DocumentError::NoKeyId { index, .. } => {
            format!("error adding WIT authority {index} of JWKS: keyID cannot be empty")
        }
        DocumentError::NoAuthorities | DocumentError::Certificates { .. } => error.to_string(),
        _ => format!("unable to parse JWKS: {error}"),
    };
    format!("spiffe bundle: spiffebundle: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_count_in_any_case_and_pem_is_the_default() {
        // SC-290
        assert_eq!(BundleFormat::parse(""), Ok(BundleFormat::Pem));
        assert_eq!(BundleFormat::parse("SPIFFE"), Ok(BundleFormat::Spiffe));
        assert_eq!(BundleFormat::parse("Yaml").unwrap_err(), "invalid format: \"yaml\"");
    }

    #[test]
    fn a_bundle_without_keys_is_written_as_go_writes_it() {
        // SC-292
        let bundle = Bundle { trust_domain: "td".into(), ..Bundle::default() };
        assert_eq!(write(&bundle, BundleFormat::Spiffe).unwrap(), "{\n    \"keys\": null\n}\n");
        assert_eq!(write(&bundle, BundleFormat::Pem).unwrap(), "");
    }

    #[test]
    fn unreadable_documents_are_refused_in_the_words_of_go_spiffe() {
        // SC-295
        for (document, expected) in [
            ("{}", "no authorities found"),
            ("null", "no authorities found"),
            (r#"{"keys":[{}]}"#, "unable to parse JWKS: go-jose/go-jose: missing json web key type"),
            (
                r#"{"keys":[{"kty":"XX"}]}"#,
                "unable to parse JWKS: go-jose/go-jose: unsupported key type/format",
            ),
            (
                r#"{"keys":[{"use":"foo","kty":"OKP","crv":"X","x":"11"}]}"#,
                "unable to parse JWKS: go-jose/go-jose: unsupported key type/format",
            ),
            (
                r#"{"spiffe_sequence":"x"}"#,
                "unable to parse JWKS: json: cannot unmarshal string into Go struct field \
                 bundleDoc.spiffe_sequence of type uint64",
            ),
            (
                r#"{"keys":[{"use":"jwt-svid","kty":"oct","k":"AA"}]}"#,
                "error adding authority 0 of JWKS: keyID cannot be empty",
            ),
            (
                r#"{"keys":[{"use":"x509-svid","kty":"oct","k":"AA"}]}"#,
                "expected a single certificate in x509-svid entry 0; got 0",
            ),
        ] {
            let error = read(document.as_bytes(), BundleFormat::Spiffe, "td").unwrap_err();
            assert_eq!(error, format!("unable to parse to spiffe bundle: spiffebundle: {expected}"));
        }
        let secret = br#"{"keys":[{"use":"jwt-svid","kid":"k","kty":"oct","k":"AA"}]}"#;
        assert_eq!(
            read(secret, BundleFormat::Spiffe, "td").unwrap_err(),
            "unable to parse to type bundle: x509: unsupported public key type: []uint8"
        );
        for x5c in ["!", "AAAA"] {
            let document =
                format!(r#"{{"keys":[{{"use":"x509-svid","kty":"oct","k":"AA","x5c":[{x5c:?}]}}]}}"#);
            let error = read(document.as_bytes(), BundleFormat::Spiffe, "td").unwrap_err();
            assert!(error.contains("spiffebundle: unable to parse JWKS: go-jose/go-jose: failed"), "{error}");
        }
        assert_eq!(
            read(b"x", BundleFormat::Pem, "td").unwrap_err(),
            "unable to parse bundle data: no PEM blocks"
        );
    }
}
