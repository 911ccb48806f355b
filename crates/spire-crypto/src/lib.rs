//! Keys, X.509, JOSE and bundle documents: the one place that touches the
//! crypto backend (architecture A10).

pub mod bundle_document;
mod elements;
pub mod go_text;
pub mod hash;
pub mod jose;
pub mod key;
pub mod pem;
pub mod random;
pub mod signer;
pub mod x509;

pub use elements::Asn1Error;
pub use key::{KeyAlgorithm, KeyError, KeyType, PrivateKey, PublicKey, SignatureScheme};
pub use signer::{SignError, Signer, default_scheme};
