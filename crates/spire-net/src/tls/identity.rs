//! Where keys, chains and bundles of a handshake come from.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateDer;
use rustls::sign::{Signer as RustlsSigner, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme as Scheme};
use spire_crypto::x509::Roots;
use spire_crypto::{KeyAlgorithm, SignError, SignatureScheme, Signer};
use spire_types::TrustDomain;
use tokio::runtime::{Handle, RuntimeFlavor};

pub use rustls::sign::CertifiedKey;

/// Looks up the bundle of a trust domain; asked at every handshake, so it must answer from memory.
pub trait BundleSource: fmt::Debug + Send + Sync {
    /// `None` if there is no bundle for it.
    fn roots(&self, trust_domain: &TrustDomain) -> Option<Roots>;
}

/// Looks up our own SVID; asked at every handshake.
pub trait IdentitySource: fmt::Debug + Send + Sync {
    /// `None` while there is no SVID: a server fails the handshake, a client presents nothing.
    fn current(&self) -> Option<Arc<CertifiedKey>>;
}

/// An SVID that is swapped as a whole when it rotates.
#[derive(Debug, Default)]
pub struct IdentityCell(ArcSwapOption<CertifiedKey>);

impl IdentityCell {
    pub fn new(current: Option<Arc<CertifiedKey>>) -> Self {
        Self(ArcSwapOption::new(current))
    }

    pub fn set(&self, current: Arc<CertifiedKey>) {
        self.0.store(Some(current));
    }
}

impl IdentitySource for IdentityCell {
    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// A chain and key that cannot be used in TLS.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("no certificates found")]
    NoCertificate,
    #[error("key algorithm {0:?} is not usable in TLS; use an RSA, P-256, P-384 or Ed25519 key")]
    Algorithm(KeyAlgorithm),
}

/// Joins a chain, leaf first, and the key of the leaf, which may live elsewhere.
pub fn certified_key<'a>(
    chain: impl IntoIterator<Item = &'a [u8]>,
    signer: Arc<dyn Signer>,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let chain: Vec<_> = chain.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    let algorithm = signer.public_key().algorithm();
    let (family, schemes) = schemes(&algorithm).ok_or(IdentityError::Algorithm(algorithm))?;
    let key = HandshakeKey { signer, family, schemes };
    Ok(Arc::new(CertifiedKey::new(chain, Arc::new(key))))
}

type Schemes = &'static [(Scheme, SignatureScheme)];

/// In the order in which we like them.
fn schemes(algorithm: &KeyAlgorithm) -> Option<(SignatureAlgorithm, Schemes)> {
    match algorithm {
        KeyAlgorithm::Rsa { .. } => Some((
            SignatureAlgorithm::RSA,
            &[
                (Scheme::RSA_PSS_SHA256, SignatureScheme::RsaPssSha256),
                (Scheme::RSA_PSS_SHA384, SignatureScheme::RsaPssSha384),
                (Scheme::RSA_PSS_SHA512, SignatureScheme::RsaPssSha512),
                (Scheme::RSA_PKCS1_SHA256, SignatureScheme::RsaPkcs1Sha256),
                (Scheme::RSA_PKCS1_SHA384, SignatureScheme::RsaPkcs1Sha384),
                (Scheme::RSA_PKCS1_SHA512, SignatureScheme::RsaPkcs1Sha512),
            ],
        )),
        KeyAlgorithm::EcP256 => Some((
            SignatureAlgorithm::ECDSA,
            &[(Scheme::ECDSA_NISTP256_SHA256, SignatureScheme::EcdsaSha256)],
        )),
        KeyAlgorithm::EcP384 => Some((
            SignatureAlgorithm::ECDSA,
            &[(Scheme::ECDSA_NISTP384_SHA384, SignatureScheme::EcdsaSha384)],
        )),
        KeyAlgorithm::Ed25519 => {
            Some((SignatureAlgorithm::ED25519, &[(Scheme::ED25519, SignatureScheme::Ed25519)]))
        }
        _ => None,
    }
}

#[derive(Debug)]
struct HandshakeKey {
    signer: Arc<dyn Signer>,
    family: SignatureAlgorithm,
    schemes: Schemes,
}

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[Scheme]) -> Option<Box<dyn RustlsSigner>> {
        let (scheme, ours) = self.schemes.iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(HandshakeSigner { signer: self.signer.clone(), scheme: *scheme, ours: *ours }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.family
    }
}

#[derive(Debug)]
struct HandshakeSigner {
    signer: Arc<dyn Signer>,
    scheme: Scheme,
    ours: SignatureScheme,
}

impl RustlsSigner for HandshakeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        sign_now(&*self.signer, self.ours, message).map_err(rustls::Error::General)
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }
}

/// The handshake cannot wait, so this does. Keys in memory answer at once; for a key manager in another process the
/// thread is given up for as long as it takes.
fn sign_now(signer: &dyn Signer, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: SignError| spire_runtime::Chain(&error).to_string();
    let mut signing = pin!(signer.sign(scheme, message));
    if let Poll::Ready(signed) = signing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return signed.map_err(failed);
    }
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(|| runtime.block_on(signing)).map_err(failed)
        }
        _ => Err("the key lives in another process, which needs a multi-threaded runtime".to_owned()),
    }
}
