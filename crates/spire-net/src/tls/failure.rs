//! Why a peer was refused, kept beside rustls, whose errors cannot carry our words.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::{CertificateError, Error};

/// Shared between a verifier and the handshake it serves.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    /// Remembers the reason and returns the error that makes rustls send `bad_certificate`, as Go does.
    pub fn refuse(&self, reason: String) -> Error {
        *self.0.lock() = Some(reason);
        Error::InvalidCertificate(CertificateError::BadEncoding)
    }

    /// The reason, or `otherwise` if the peer was not refused by a verifier.
    pub fn or(&self, otherwise: impl ToString) -> String {
        self.0.lock().take().unwrap_or_else(|| otherwise.to_string())
    }
}
