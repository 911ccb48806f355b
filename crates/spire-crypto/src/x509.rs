//! X.509 certificates, requests and their verification.

mod authority;
mod certificate;
mod csr;
mod dns_name;
mod name;
mod strings;
mod template;
mod uri;
mod verify;

pub use authority::check_authorities;
pub use certificate::{Certificate, ExtendedKeyUsage, KeyUsage, X509Error};
pub use csr::CertificateRequest;
pub use dns_name::{DnsNameError, validate_dns_name, wildcard_overlap};
pub use name::{DistinguishedName, Subject};
pub use template::{CertificateTemplate, ExtraExtension, Issuer, Usage, sign_certificate};
pub use verify::{
    PeerError, Roots, VerifyError, chains_to, leaf_spiffe_id, verify_chain, verify_chains, verify_x509_svid,
};
