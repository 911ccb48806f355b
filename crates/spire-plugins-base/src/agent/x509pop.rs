//! The node shows a certificate and proves that it holds its key (NA-058 to NA-068).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use spire_config::Object;
use spire_crypto::{PrivateKey, pem};
use spire_plugin::agent::{Conversation, NodeAttestor};
use spire_plugin::{BuiltIn, PluginError};

use crate::shared::settings::decode;
use crate::shared::x509pop::{AttestationData, Base64, Challenge, respond};

pub const X509POP: BuiltIn<dyn NodeAttestor> = BuiltIn {
    name: "x509pop",
    configurable: true,
    build: |_, data| {
        let settings = Settings::read(data).map_err(|mut problems| problems.swap_remove(0))?;
        // Read now, so that a wrong path shows at the start; read again at each attestation.
        settings.load()?;
        Ok(Arc::new(X509Pop { settings }))
    },
    validate: |_, data| match Settings::read(data) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.message).collect(),
    },
};

#[derive(Debug)]
struct Settings {
    private_key_path: PathBuf,
    certificate_path: PathBuf,
    intermediates_path: Option<PathBuf>,
}

impl Settings {
    fn read(data: &Object) -> Result<Self, Vec<PluginError>> {
        let read = decode(data, |fields| {
            Ok([
                fields.string("private_key_path")?.unwrap_or_default(),
                fields.string("certificate_path")?.unwrap_or_default(),
                fields.string("intermediates_path")?.unwrap_or_default(),
                fields.string("spiffe_endpoint_socket")?.unwrap_or_default(),
            ])
        });
        let [key, certificate, intermediates, socket] = read.map_err(|error| vec![error])?;
        let mut problems = Vec::new();
        if !socket.is_empty() {
            problems.push(PluginError::invalid(
                "spiffe_endpoint_socket is not built in this version; use private_key_path and certificate_path",
            ));
        } else {
            if key.is_empty() {
                problems.push(PluginError::invalid("private_key_path is required"));
            }
            if certificate.is_empty() {
                problems.push(PluginError::invalid("certificate_path is required"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            private_key_path: key.into(),
            certificate_path: certificate.into(),
            intermediates_path: (!intermediates.is_empty()).then(|| intermediates.into()),
        })
    }

    /// Key and chain, leaf first.
    fn load(&self) -> Result<(PrivateKey, Vec<Base64>), PluginError> {
        let pair = |text: String| PluginError::invalid(format!("unable to load keypair: {text}"));
        let key = pem::parse_private_key(&read_file(&self.private_key_path).map_err(pair)?)
            .map_err(|error| pair(error.to_string()))?;
        let mut chain = pem::parse_certificates(&read_file(&self.certificate_path).map_err(pair)?)
            .map_err(|error| pair(error.to_string()))?;
        let leaf = chain[0].public_key().map_err(|error| pair(error.to_string()))?;
        if leaf != *key.public_key() {
            return Err(pair("private key does not match public key".to_owned()));
        }
        if let Some(path) = &self.intermediates_path {
            let failed = |text: String| {
                PluginError::invalid(format!("unable to load intermediate certificates: {text}"))
            };
            let more = pem::parse_certificates(&read_file(path).map_err(failed)?)
                .map_err(|error| failed(error.to_string()))?;
            chain.extend(more);
        }
        Ok((key, chain.iter().map(|certificate| Base64(certificate.der().to_vec())).collect()))
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| spire_runtime::logging::read_error_text(path, &error))
}

#[derive(Debug)]
struct X509Pop {
    settings: Settings,
}

#[async_trait]
impl NodeAttestor for X509Pop {
    async fn attest(&self, conversation: &mut dyn Conversation) -> Result<(), PluginError> {
        let (key, certificates) = self.settings.load()?;
        let encode =
            |error: serde_json::Error| PluginError::internal(format!("failed to marshal data: {error}"));
        let payload = serde_json::to_vec(&AttestationData { certificates }).map_err(encode)?;
        let mut asked = conversation.send_payload(payload).await?;
        while let Some(challenge) = asked {
            let challenge: Challenge = serde_json::from_slice(&challenge)
                .map_err(|error| PluginError::internal(format!("failed to unmarshal challenge: {error}")))?;
            let response = respond(&key, &challenge).map_err(|text| {
                PluginError::internal(format!("failed to calculate challenge response: {text}"))
            })?;
            asked = conversation.send_response(serde_json::to_vec(&response).map_err(encode)?).await?;
        }
        Ok(())
    }
}
