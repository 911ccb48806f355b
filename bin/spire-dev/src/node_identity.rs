//! The certificate with which the agent proves this machine to the server, again and again (NA-058, NA-075).

use spire_crypto::x509::{CertificateTemplate, Issuer, Subject, Usage, sign_certificate};
use spire_crypto::{KeyType, PrivateKey, pem};
use time::{Duration, OffsetDateTime};

use crate::cluster::ClusterError;
use crate::folder::Folder;

/// Longer than a development folder lives.
const LIFETIME: Duration = Duration::days(3650);

/// Makes key and certificate, unless the folder has them.
pub(crate) async fn ensure(folder: &Folder, now: OffsetDateTime) -> Result<(), ClusterError> {
    if folder.node_key().exists() && folder.node_certificate().exists() {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| ClusterError::NodeIdentity(error.to_string());
    let key = PrivateKey::generate(KeyType::EcP256).map_err(|error| failed(&error))?;
    let subject = Subject { common_name: "spire-dev node".to_owned(), ..Subject::default() };
    let name = subject.to_name().map_err(|error| failed(&error))?;
    let template = CertificateTemplate {
        serial: 1u128.to_be_bytes(),
        subject: name.clone(),
        not_before: now - Duration::hours(1),
        not_after: now + LIFETIME,
        uri_san: "spiffe://spire-dev.invalid/node".to_owned(),
        dns_sans: Vec::new(),
        usage: Usage::Svid,
        extra_extensions: Vec::new(),
    };
    let issuer = Issuer { name, key_id: None };
    let der =
        sign_certificate(&template, key.public_key(), &issuer, &key).await.map_err(|error| failed(&error))?;
    let pkcs8 = key.to_pkcs8().map_err(|error| failed(&error))?;
    folder.write(&folder.node_key(), &pem::encode_private_key(&pkcs8), 0o600)?;
    folder.write(&folder.node_certificate(), &pem::encode_certificate(&der), 0o644)?;
    Ok(())
}
