//! Checking that a peer holds the key of its certificate; the same in all verifiers.

/// Implements the signature methods of a rustls verifier with the algorithms of `self.provider`.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}
pub(super) use verify_signatures;

use rustls::pki_types::CertificateDer;
use spire_crypto::x509::Certificate;

/// Parses what the peer presented, leaf first; the error has the prefix of go-spiffe (CA-521).
pub(super) fn parse_chain(
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<Vec<Certificate>, String> {
    let parse = |der: &CertificateDer<'_>| {
        Certificate::parse(der).map_err(|error| format!("x509svid: unable to parse certificate: {error}"))
    };
    std::iter::once(leaf).chain(others).map(parse).collect()
}
