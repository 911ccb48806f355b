//! How a key that may live elsewhere signs (architecture A10).

use std::fmt::Debug;

use async_trait::async_trait;

use crate::key::{KeyAlgorithm, KeyError, PrivateKey, PublicKey, SignatureScheme};

/// Why a signature was not made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key lives elsewhere and that place refused or failed.
    #[error("{0}")]
    Remote(String),
}

/// A private key that can be used but not necessarily read.
#[async_trait]
pub trait Signer: Send + Sync + Debug {
    fn public_key(&self) -> &PublicKey;

    /// Signs; ECDSA signatures come as ASN.1.
    async fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

#[async_trait]
impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        PrivateKey::public_key(self)
    }

    async fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(PrivateKey::sign(self, scheme, message)?)
    }
}

/// The scheme that goes with a key (CA-205).
pub fn default_scheme(key: &PublicKey) -> Option<SignatureScheme> {
    Some(match key.algorithm() {
        KeyAlgorithm::Rsa { .. } => SignatureScheme::RsaPkcs1Sha256,
        KeyAlgorithm::EcP256 => SignatureScheme::EcdsaSha256,
        KeyAlgorithm::EcP384 => SignatureScheme::EcdsaSha384,
        KeyAlgorithm::EcP521 => SignatureScheme::EcdsaSha512,
        KeyAlgorithm::Ed25519 => SignatureScheme::Ed25519,
        KeyAlgorithm::Other => return None,
    })
}
