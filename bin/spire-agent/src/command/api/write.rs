//! Identities as files (AG-172, AG-173).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

use spire_cli::Env;
use spire_crypto::pem;
use spire_crypto::x509::Certificate;
use spire_runtime::logging::os_error_text;

use super::identity::Identity;
use crate::paths::clean;

const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// Writes everything below `folder`, which must exist; says each file before it is written.
pub(super) fn all(identities: &[Identity], folder: &str, env: &mut Env) -> Result<(), String> {
    for (i, identity) in identities.iter().enumerate() {
        let path = clean(&format!("{folder}/svid.{i}.pem"));
        env.out(&format!("Writing SVID #{i} to file {path}.\n"));
        file(&path, certificates(&identity.chain).as_bytes(), PUBLIC)?;

        let path = clean(&format!("{folder}/svid.{i}.key"));
        env.out(&format!("Writing key #{i} to file {path}.\n"));
        let key = identity.key.to_pkcs8().map_err(|error| error.to_string())?;
        file(&path, pem::encode_private_key(&key).as_bytes(), PRIVATE)?;

        let path = clean(&format!("{folder}/bundle.{i}.pem"));
        env.out(&format!("Writing bundle #{i} to file {path}.\n"));
        file(&path, certificates(&identity.bundle).as_bytes(), PUBLIC)?;

        for (j, (domain, bundle)) in identity.federated_bundles.iter().enumerate() {
            let path = clean(&format!("{folder}/federated_bundle.{i}.{j}.pem"));
            env.out(&format!("Writing federated bundle #{j} for trust domain {domain} to file {path}.\n"));
            file(&path, certificates(bundle).as_bytes(), PUBLIC)?;
        }
    }
    Ok(())
}

fn certificates(chain: &[Certificate]) -> String {
    chain.iter().map(|certificate| pem::encode_certificate(certificate.der())).collect()
}

/// Files that are there keep their mode (SC-233).
fn file(path: &str, data: &[u8], mode: u32) -> Result<(), String> {
    let failed = |doing: &str, error: &std::io::Error| format!("{doing} {path}: {}", os_error_text(error));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(|error| failed("open", &error))?;
    file.write_all(data).map_err(|error| failed("write", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_named() {
        // AG-172
        let error = file("/nonexistent/f", b"", PUBLIC).unwrap_err();
        assert_eq!(error, "open /nonexistent/f: no such file or directory");
    }
}
