//! The node shows a certificate and proves that it holds its key (NA-058 to NA-068).

mod workload_api;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use spire_config::Object;
use spire_crypto::x509::Certificate;
use spire_crypto::{PrivateKey, pem};
use spire_plugin::agent::{Conversation, NodeAttestor};
use spire_plugin::{BuiltIn, Code, PluginError};

use self::workload_api::{Address, fetch_svid};
use crate::shared::settings::decode;
use crate::shared::x509pop::{AttestationData, Base64, Challenge, read, respond};

pub const X509POP: BuiltIn<dyn NodeAttestor> = BuiltIn {
    name: "x509pop",
    configurable: true,
    build: |_, data| {
        let settings = Settings::read(data).map_err(|mut problems| problems.swap_remove(0))?;
        // Read now, so that a wrong path shows at the start; read again at each attestation.
        if let Settings::Files(files) = &settings {
            files.load()?;
        }
        Ok(Arc::new(X509Pop { settings }))
    },
    validate: |_, data| match Settings::read(data) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.message).collect(),
    },
};

/// Where key and certificates come from.
#[derive(Debug)]
enum Settings {
    Files(Files),
    /// A Workload API, asked at each attestation (NA-061).
    Socket(String),
}

#[derive(Debug)]
struct Files {
    private_key: PathBuf,
    certificate: PathBuf,
    intermediates: Option<PathBuf>,
}

type Identity = (PrivateKey, Vec<Certificate>);

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
        if !socket.is_empty() {
            return Ok(Self::Socket(socket));
        }
        let required = [("private_key_path", &key), ("certificate_path", &certificate)];
        let problems: Vec<PluginError> = required
            .iter()
            .filter(|(_, value)| value.is_empty())
            .map(|(name, _)| PluginError::invalid(format!("{name} is required")))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self::Files(Files {
            private_key: key.into(),
            certificate: certificate.into(),
            intermediates: (!intermediates.trim().is_empty()).then(|| intermediates.into()),
        }))
    }

    /// Key and chain, leaf first.
    async fn identity(&self) -> Result<Identity, PluginError> {
        match self {
            Self::Files(files) => files.load(),
            Self::Socket(socket) => fetch(socket).await.map_err(|text| {
                let text = format!("unable to fetch SVID from workload API: {text}");
                PluginError::new(Code::Unavailable, text)
            }),
        }
    }
}

async fn fetch(socket: &str) -> Result<Identity, String> {
    fetch_svid(&socket.parse::<Address>()?).await
}

impl Files {
    fn load(&self) -> Result<Identity, PluginError> {
        let pair = |text: String| PluginError::invalid(format!("unable to load keypair: {text}"));
        let key = pem::parse_private_key(&read_file(&self.private_key).map_err(pair)?)
            .map_err(|error| pair(error.to_string()))?;
        let mut chain = pem::find_certificates(&read_file(&self.certificate).map_err(pair)?)
            .map_err(|error| pair(error.to_string()))?;
        let leaf = chain[0].public_key().map_err(|error| pair(error.to_string()))?;
        if leaf != *key.public_key() {
            return Err(pair("private key does not match public key".to_owned()));
        }
        if let Some(path) = &self.intermediates {
            let failed = |text: String| {
                PluginError::invalid(format!("unable to load intermediate certificates: {text}"))
            };
            let more = pem::find_certificates(&read_file(path).map_err(failed)?)
                .map_err(|error| failed(error.to_string()))?;
            chain.extend(more);
        }
        Ok((key, chain))
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
        let (key, chain) = self.settings.identity().await?;
        let certificates = chain.iter().map(|certificate| Base64(certificate.der().to_vec())).collect();
        let encode = |error: serde_json::Error| {
            PluginError::internal(format!("unable to marshal attestation data: {error}"))
        };
        let payload = serde_json::to_vec(&AttestationData { certificates }).map_err(encode)?;
        let mut asked = conversation.send_payload(payload).await?;
        while let Some(challenge) = asked {
            let challenge: Challenge = read(&challenge)
                .map_err(|error| PluginError::internal(format!("unable to unmarshal challenge: {error}")))?;
            let response = respond(&key, &challenge).map_err(|text| {
                PluginError::internal(format!("failed to calculate challenge response: {text}"))
            })?;
            asked = conversation.send_response(serde_json::to_vec(&response).map_err(encode)?).await?;
        }
        Ok(())
    }
}
