//! Private and public keys.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::Encode;
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use crate::elements::{
    Asn1Error, BIT_STRING, Elements, OBJECT_IDENTIFIER, SEQUENCE, bit_string, is_object_identifier,
};

/// The key types that SPIRE makes (CA-026).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    Rsa2048,
    Rsa4096,
    EcP256,
    EcP384,
}

impl KeyType {
    /// The name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa4096 => "rsa-4096",
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyType {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        [Self::Rsa2048, Self::Rsa4096, Self::EcP256, Self::EcP384]
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| KeyError::UnknownType(text.to_owned()))
    }
}

/// Why a key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("key type {0:?} is unknown")]
    UnknownType(String),
    #[error("malformed private key: {0}")]
    MalformedPrivate(String),
    /// As Go says it.
    #[error("{0}")]
    MalformedPublic(Cow<'static, str>),
    #[error(transparent)]
    Asn1(#[from] Asn1Error),
    #[error("key algorithm does not fit the signature algorithm")]
    SchemeMismatch,
    #[error("signature is not valid")]
    BadSignature,
    #[error("the crypto library failed to {0}")]
    Backend(&'static str),
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// Verified, because old requests for certificates still carry it; nothing is signed with it.
    RsaPkcs1Sha1,
    RsaPkcs1Sha256,
    RsaPkcs1Sha384,
    RsaPkcs1Sha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
    Ed25519,
}

/// What kind of key a public key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    Rsa {
        bits: usize,
    },
    EcP256,
    EcP384,
    EcP521,
    Ed25519,
    /// Parses as SubjectPublicKeyInfo; signatures with it cannot be checked here.
    Other,
}

/// A public key in its PKIX form (RFC 5280 section 4.1.2.7).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    spki: Arc<[u8]>,
    algorithm: KeyAlgorithm,
    /// Where the BIT STRING content begins in `spki`; it runs to the end.
    key_at: usize,
}

impl PublicKey {
    /// Reads a key that Go would read, too, but for [`check`](Self::check).
    pub fn from_pkix(der: &[u8]) -> Result<Self, KeyError> {
        let mut outer = Elements::of(der);
        let mut info = outer.expect(SEQUENCE, "publicKeyInfo")?.inside();
        let mut id = info.expect(SEQUENCE, "AlgorithmIdentifier")?.inside();
        let oid = id.expect(OBJECT_IDENTIFIER, "ObjectIdentifier")?.content;
        let parameters = if id.is_empty() { &[][..] } else { id.expect_any()?.whole };
        let (bits, unused) = bit_string(info.expect(BIT_STRING, "BitString")?.content)
            .ok_or(Asn1Error::new("syntax error: invalid padding bits in BIT STRING"))?;
        if !outer.is_empty() {
            return Err(malformed("x509: trailing data after ASN.1 of public-key"));
        }
        if unused != 0 || !info.is_empty() || !is_object_identifier(oid) {
            return Err(malformed("x509: malformed subjectPublicKey"));
        }
        let algorithm = algorithm_of(oid, parameters, bits)?;
        Ok(Self { spki: der.into(), algorithm, key_at: der.len() - bits.len() })
    }

    /// The PKIX DER.
    pub fn pkix(&self) -> &[u8] {
        &self.spki
    }

    pub fn shared_pkix(&self) -> Arc<[u8]> {
        self.spki.clone()
    }

    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The content of the BIT STRING.
    pub fn key_bits(&self) -> &[u8] {
        &self.spki[self.key_at..]
    }

    /// SHA-1 of the key bits (RFC 5280 section 4.2.1.2 method 1; CA-203).
    pub fn subject_key_id(&self) -> [u8; 20] {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.key_bits());
        let mut id = [0; 20];
        id.copy_from_slice(digest.as_ref());
        id
    }

    /// The subject key id as lower-case hex: the authority id of an X.509 CA (CA-022).
    pub fn subject_key_id_hex(&self) -> String {
        hex::encode(self.subject_key_id())
    }

    /// Whether it is of a known kind, and a point of its curve: whoever
    /// gets it in a bundle must be able to read it.
    pub fn check(&self) -> Result<(), KeyError> {
        let (curve, off): (&'static dyn signature::VerificationAlgorithm, _) = match self.algorithm {
            KeyAlgorithm::EcP256 => (&signature::ECDSA_P256_SHA256_ASN1, "P256 point not on curve"),
            KeyAlgorithm::EcP384 => (&signature::ECDSA_P384_SHA384_ASN1, "P384 point not on curve"),
            KeyAlgorithm::EcP521 => (&signature::ECDSA_P521_SHA512_ASN1, "P521 point not on curve"),
            KeyAlgorithm::Rsa { .. } | KeyAlgorithm::Ed25519 => return Ok(()),
            KeyAlgorithm::Other => return Err(malformed("x509: unknown public key algorithm")),
        };
        let parsed = signature::ParsedPublicKey::new(curve, self.key_bits());
        parsed.map(drop).map_err(|_| malformed(off))
    }

    pub fn verify(&self, scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        use SignatureScheme as S;
        let algorithm: &'static dyn signature::VerificationAlgorithm = match (self.algorithm, scheme) {
            (KeyAlgorithm::Rsa { .. }, S::RsaPkcs1Sha1) => {
                &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
            }
            (KeyAlgorithm::Rsa { .. }, S::RsaPkcs1Sha256) => {
                &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
            }
            (KeyAlgorithm::Rsa { .. }, S::RsaPkcs1Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (KeyAlgorithm::Rsa { .. }, S::RsaPkcs1Sha512) => {
                &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
            }
            (KeyAlgorithm::Rsa { .. }, S::RsaPssSha256) => &signature::RSA_PSS_2048_8192_SHA256,
            (KeyAlgorithm::Rsa { .. }, S::RsaPssSha384) => &signature::RSA_PSS_2048_8192_SHA384,
            (KeyAlgorithm::Rsa { .. }, S::RsaPssSha512) => &signature::RSA_PSS_2048_8192_SHA512,
            (KeyAlgorithm::EcP256, S::EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (KeyAlgorithm::EcP256, S::EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (KeyAlgorithm::EcP256, S::EcdsaSha512) => &signature::ECDSA_P256_SHA512_ASN1,
            (KeyAlgorithm::EcP384, S::EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (KeyAlgorithm::EcP384, S::EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (KeyAlgorithm::EcP384, S::EcdsaSha512) => &signature::ECDSA_P384_SHA512_ASN1,
            (KeyAlgorithm::EcP521, S::EcdsaSha256) => &signature::ECDSA_P521_SHA256_ASN1,
            (KeyAlgorithm::EcP521, S::EcdsaSha384) => &signature::ECDSA_P521_SHA384_ASN1,
            (KeyAlgorithm::EcP521, S::EcdsaSha512) => &signature::ECDSA_P521_SHA512_ASN1,
            (KeyAlgorithm::Ed25519, S::Ed25519) => &signature::ED25519,
            _ => return Err(KeyError::SchemeMismatch),
        };
        UnparsedPublicKey::new(algorithm, self.key_bits())
            .verify(message, signature)
            .map_err(|_| KeyError::BadSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.algorithm, self.subject_key_id_hex())
    }
}

const fn malformed(text: &'static str) -> KeyError {
    KeyError::MalformedPublic(Cow::Borrowed(text))
}

fn algorithm_of(oid: &[u8], parameters: &[u8], bits: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    if oid == rfc5912::RSA_ENCRYPTION.as_bytes() {
        // RFC 3279 section 2.3.1
        if parameters != [5, 0] {
            return Err(malformed("x509: RSA key missing NULL parameters"));
        }
        return Ok(KeyAlgorithm::Rsa { bits: rsa_bits(bits)? });
    }
    if oid == rfc8410::ID_ED_25519.as_bytes() {
        if !parameters.is_empty() {
            return Err(malformed("x509: Ed25519 key encoded with illegal parameters"));
        }
        if bits.len() != 32 {
            return Err(malformed("x509: wrong Ed25519 public key size"));
        }
        return Ok(KeyAlgorithm::Ed25519);
    }
    if oid != rfc5912::ID_EC_PUBLIC_KEY.as_bytes() {
        return Ok(KeyAlgorithm::Other);
    }
    let curve = Elements::of(parameters).object_identifier();
    let curve = curve.ok_or(malformed("x509: invalid ECDSA parameters"))?;
    let curves = [
        (rfc5912::SECP_256_R_1, KeyAlgorithm::EcP256, 65, "invalid P256 point encoding"),
        (rfc5912::SECP_384_R_1, KeyAlgorithm::EcP384, 97, "invalid P384 point encoding"),
        (rfc5912::SECP_521_R_1, KeyAlgorithm::EcP521, 133, "invalid P521 point encoding"),
        (rfc5912::SECP_224_R_1, KeyAlgorithm::Other, 57, "invalid P224 point encoding"),
    ];
    let known = curves.into_iter().find(|(oid, ..)| oid.as_bytes() == curve);
    let (_, algorithm, length, wrong) = known.ok_or(malformed("x509: unsupported elliptic curve"))?;
    match bits.first() {
        Some(4) if bits.len() == length => Ok(algorithm),
        Some(4) => Err(malformed(wrong)),
        _ => Err(malformed("ecdsa: invalid uncompressed public key")),
    }
}

/// Size of the modulus of an `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn rsa_bits(der: &[u8]) -> Result<usize, KeyError> {
    let (modulus, _) = rsa_parts(der)?;
    let top = modulus.first().copied().unwrap_or_default();
    Ok(modulus.len() * 8 - top.leading_zeros() as usize)
}

/// Modulus and exponent of an `RSAPublicKey`, big-endian without leading zeros.
pub(crate) fn rsa_parts(der: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let mut key = Elements::of(der).inside(SEQUENCE).ok_or(malformed("x509: invalid RSA public key"))?;
    let modulus = key.integer().ok_or(malformed("x509: invalid RSA modulus"))?;
    let exponent = key.integer().filter(|bytes| bytes.len() <= 8);
    let exponent = exponent.ok_or(malformed("x509: invalid RSA public exponent"))?;
    Ok((
        positive(modulus).ok_or(malformed("x509: RSA modulus is not a positive number"))?,
        positive(exponent).ok_or(malformed("x509: RSA public exponent is not a positive number"))?,
    ))
}

/// An INTEGER without the zero that may stand for its sign.
fn positive(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        [] | [0] | [0x80..=0xff, ..] => None,
        [0, bytes @ ..] => Some(bytes),
        bytes => Some(bytes),
    }
}

/// A private key in memory. The library wipes it when the last clone goes.
#[derive(Clone)]
pub struct PrivateKey {
    pair: Arc<Pair>,
    public: PublicKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl PrivateKey {
    pub fn generate(kind: KeyType) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Backend("generate a key");
        let pair = match kind {
            KeyType::Rsa2048 => Pair::Rsa(RsaKeyPair::generate(rsa::KeySize::Rsa2048).map_err(failed)?),
            KeyType::Rsa4096 => Pair::Rsa(RsaKeyPair::generate(rsa::KeySize::Rsa4096).map_err(failed)?),
            KeyType::EcP256 => {
                Pair::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?)
            }
            KeyType::EcP384 => {
                Pair::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_ASN1_SIGNING).map_err(failed)?)
            }
        };
        Self::from_pair(pair)
    }

    /// Reads an unencrypted PKCS#8 key (RFC 5958).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let rsa = RsaKeyPair::from_pkcs8(der).map(Pair::Rsa);
        let pair = rsa
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, der).map(Pair::Ec)
            })
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, der).map(Pair::Ec)
            })
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P521_SHA512_ASN1_SIGNING, der).map(Pair::Ec)
            })
            .map_err(|_| KeyError::MalformedPrivate("not an RSA or ECDSA key in PKCS#8 form".to_owned()))?;
        Self::from_pair(pair)
    }

    /// Reads a SEC 1 EC key (`EC PRIVATE KEY`, RFC 5915) or a PKCS#1 RSA key.
    pub fn from_traditional(der: &[u8]) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::from_der(der)
            .map(Pair::Rsa)
            .or_else(|_| {
                EcdsaKeyPair::from_private_key_der(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, der)
                    .map(Pair::Ec)
            })
            .or_else(|_| {
                EcdsaKeyPair::from_private_key_der(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, der)
                    .map(Pair::Ec)
            })
            .or_else(|_| {
                EcdsaKeyPair::from_private_key_der(&signature::ECDSA_P521_SHA512_ASN1_SIGNING, der)
                    .map(Pair::Ec)
            })
            .map_err(|_| KeyError::MalformedPrivate("not an RSA or ECDSA key".to_owned()))?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Backend("encode a public key");
        let spki = match &pair {
            Pair::Rsa(pair) => pair.public_key().as_der().map_err(failed)?.as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_der().map_err(failed)?.as_ref().to_vec(),
        };
        Ok(Self { public: PublicKey::from_pkix(&spki)?, pair: Arc::new(pair) })
    }

    /// The key as unencrypted PKCS#8; wiped when dropped.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let failed = |_| KeyError::Backend("encode a private key");
        let bytes = match &*self.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'static> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
            Pair::Ec(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(bytes))
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The type, when it is one that SPIRE makes.
    pub fn key_type(&self) -> Option<KeyType> {
        Some(match self.public.algorithm {
            KeyAlgorithm::Rsa { bits: 2048 } => KeyType::Rsa2048,
            KeyAlgorithm::Rsa { bits: 4096 } => KeyType::Rsa4096,
            KeyAlgorithm::EcP256 => KeyType::EcP256,
            KeyAlgorithm::EcP384 => KeyType::EcP384,
            _ => return None,
        })
    }

    /// Signs; ECDSA signatures come as ASN.1 (RFC 3279 section 2.2.3).
    pub fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        use SignatureScheme as S;
        let random = SystemRandom::new();
        let failed = |_| KeyError::Backend("sign");
        match (&*self.pair, scheme) {
            (Pair::Rsa(pair), scheme) => {
                let encoding: &'static dyn signature::RsaEncoding = match scheme {
                    S::RsaPkcs1Sha256 => &signature::RSA_PKCS1_SHA256,
                    S::RsaPkcs1Sha384 => &signature::RSA_PKCS1_SHA384,
                    S::RsaPkcs1Sha512 => &signature::RSA_PKCS1_SHA512,
                    S::RsaPssSha256 => &signature::RSA_PSS_SHA256,
                    S::RsaPssSha384 => &signature::RSA_PSS_SHA384,
                    S::RsaPssSha512 => &signature::RSA_PSS_SHA512,
                    _ => return Err(KeyError::SchemeMismatch),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            (Pair::Ec(pair), S::EcdsaSha256) if self.public.algorithm != KeyAlgorithm::EcP256 => {
                let digest = widened_sha256(pair, message).map_err(failed)?;
                Ok(pair.sign_digest(&digest).map_err(failed)?.as_ref().to_vec())
            }
            (Pair::Ec(pair), scheme) => {
                let fits = matches!(
                    (self.public.algorithm, scheme),
                    (KeyAlgorithm::EcP256, S::EcdsaSha256)
                        | (KeyAlgorithm::EcP384, S::EcdsaSha384)
                        | (KeyAlgorithm::EcP521, S::EcdsaSha512)
                );
                if !fits {
                    return Err(KeyError::SchemeMismatch);
                }
                Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec())
            }
        }
    }
}

/// SHA-256 for a larger curve, which the library pairs with a longer digest. ECDSA takes the digest as a number, and
/// zeros in front do not change a number (FIPS 186-5 section 6.4.1).
fn widened_sha256(
    pair: &EcdsaKeyPair,
    message: &[u8],
) -> Result<digest::Digest, aws_lc_rs::error::Unspecified> {
    let algorithm = match pair.algorithm() {
        curve if *curve == signature::ECDSA_P384_SHA384_ASN1_SIGNING => &digest::SHA384,
        _ => &digest::SHA512,
    };
    let sha256 = digest::digest(&digest::SHA256, message);
    let mut wide = vec![0; algorithm.output_len() - sha256.as_ref().len()];
    wide.extend_from_slice(sha256.as_ref());
    digest::Digest::import_less_safe(&wide, algorithm)
}

impl SignatureScheme {
    /// The algorithm identifier of an X.509 signature (RFC 5758, RFC 4055).
    pub(crate) fn algorithm_identifier(self) -> Result<Vec<u8>, KeyError> {
        let null = der::asn1::AnyRef::NULL;
        let (oid, parameters) = match self {
            Self::RsaPkcs1Sha256 => (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Some(null)),
            Self::RsaPkcs1Sha384 => (rfc5912::SHA_384_WITH_RSA_ENCRYPTION, Some(null)),
            Self::RsaPkcs1Sha512 => (rfc5912::SHA_512_WITH_RSA_ENCRYPTION, Some(null)),
            Self::EcdsaSha256 => (rfc5912::ECDSA_WITH_SHA_256, None),
            Self::EcdsaSha384 => (rfc5912::ECDSA_WITH_SHA_384, None),
            Self::EcdsaSha512 => (rfc5912::ECDSA_WITH_SHA_512, None),
            Self::Ed25519 => (rfc8410::ID_ED_25519, None),
            Self::RsaPkcs1Sha1 | Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => {
                return Err(KeyError::SchemeMismatch);
            }
        };
        AlgorithmIdentifierRef { oid, parameters }
            .to_der()
            .map_err(|_| KeyError::Backend("encode an algorithm"))
    }

    /// The scheme of an X.509 signature algorithm, if it is one that we check.
    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        Some(match oid {
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION => Self::RsaPkcs1Sha256,
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION => Self::RsaPkcs1Sha384,
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION => Self::RsaPkcs1Sha512,
            rfc5912::ECDSA_WITH_SHA_256 => Self::EcdsaSha256,
            rfc5912::ECDSA_WITH_SHA_384 => Self::EcdsaSha384,
            rfc5912::ECDSA_WITH_SHA_512 => Self::EcdsaSha512,
            rfc8410::ID_ED_25519 => Self::Ed25519,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by openssl for this test.
    const P521: &str = "\
-----BEGIN EC PRIVATE KEY-----
MIHcAgEBBEIAG0SlYUTsnZp8QvDYYe5Psc9a/TMhYcr20fd21JwDbfJQGMPnnQkP
4mPfGXqxrrsk2aMKAFsnDT5A5ij2iDFH8cugBwYFK4EEACOhgYkDgYYABAGh0huH
mJTMgCFxrHhK1fcDgl7lbH/kq5YINYpyDsNW1vpdX+8/dwWR/cbplLI4DVhNHFGh
9nCL/lZc1Yi/d0WL6gCXViYiAyScqKtTm06jPfMgCXyH4aX4KsE+pWQaJ2DEA2kz
rkh6HeYSBuEMz4EBELOWIWRYgSy2+wixAGig9lkOjg==
-----END EC PRIVATE KEY-----
";

    #[test]
    fn every_key_type_signs_what_its_public_key_verifies() {
        for kind in [KeyType::Rsa2048, KeyType::EcP256, KeyType::EcP384] {
            let key = PrivateKey::generate(kind).unwrap();
            let scheme = crate::default_scheme(key.public_key()).unwrap();
            let signature = key.sign(scheme, b"message").unwrap();
            let public = PublicKey::from_pkix(key.public_key().pkix()).unwrap();
            public.verify(scheme, b"message", &signature).unwrap();
            assert!(public.verify(scheme, b"another", &signature).is_err(), "{kind}");
            let again = PrivateKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(again.public_key(), key.public_key(), "{kind}");
            assert_eq!(again.key_type(), Some(kind));
        }
    }

    #[test]
    fn every_curve_signs_sha256() {
        // NA-068
        let p521 = crate::pem::parse_private_key(P521.as_bytes()).unwrap();
        assert_eq!(p521.public_key().algorithm(), KeyAlgorithm::EcP521);
        let generated = [KeyType::EcP256, KeyType::EcP384].map(|kind| PrivateKey::generate(kind).unwrap());
        for key in generated.iter().chain([&p521]) {
            let signature = key.sign(SignatureScheme::EcdsaSha256, b"message").unwrap();
            key.public_key().verify(SignatureScheme::EcdsaSha256, b"message", &signature).unwrap();
        }
    }

    #[test]
    fn type_names_are_read_in_any_case() {
        assert_eq!("EC-P256".parse::<KeyType>().unwrap(), KeyType::EcP256);
        assert!("ec-p521".parse::<KeyType>().is_err());
    }

    #[test]
    fn a_key_that_nobody_could_use_fails_its_check() {
        // SA-032
        for kind in [KeyType::Rsa2048, KeyType::EcP256, KeyType::EcP384] {
            PrivateKey::generate(kind).unwrap().public_key().check().unwrap();
        }
        let mut pkix = PrivateKey::generate(KeyType::EcP256).unwrap().public_key().pkix().to_vec();
        let last = pkix.len() - 1;
        pkix[last] ^= 1;
        let text = |pkix: &[u8]| PublicKey::from_pkix(pkix).unwrap().check().unwrap_err().to_string();
        assert_eq!(text(&pkix), "P256 point not on curve");
        let unknown = hex::decode("300e300906072a030405060708030100").unwrap();
        assert_eq!(text(&unknown), "x509: unknown public key algorithm");
    }

    /// A key from the hex of its algorithm identifier and its bits.
    fn key(id: &str, bits: &str) -> String {
        let (id, bits) = (hex::decode(id).unwrap(), hex::decode(bits).unwrap());
        let tlv = |tag, content: &[u8]| der::asn1::AnyRef::new(tag, content).unwrap().to_der().unwrap();
        let bits = tlv(der::Tag::BitString, &[&[0][..], &bits].concat());
        let pkix = tlv(der::Tag::Sequence, &[tlv(der::Tag::Sequence, &id), bits].concat());
        PublicKey::from_pkix(&pkix)
            .map_or_else(|error| error.to_string(), |key| format!("{:?}", key.algorithm()))
    }

    #[test]
    fn keys_that_go_does_not_read_are_refused_in_its_words() {
        // SA-031, SA-032: an agent of SPIRE drops a whole bundle for one such key.
        const RSA: &str = "06092a864886f70d0101010500";
        const ED25519: &str = "06032b6570";
        const EC: &str = "06072a8648ce3d0201";
        let p256 = format!("{EC}06082a8648ce3d030107");
        for (id, bits, text) in [
            (RSA, "300702020800020103", "Rsa { bits: 12 }"),
            (&RSA[..22], "300702020800020103", "x509: RSA key missing NULL parameters"),
            (RSA, "0500", "x509: invalid RSA public key"),
            (RSA, "3006020100020103", "x509: RSA modulus is not a positive number"),
            (RSA, "3006020181020103", "x509: RSA modulus is not a positive number"),
            (RSA, "300602017f020100", "x509: RSA public exponent is not a positive number"),
            (RSA, "300602017f0201ff", "x509: RSA public exponent is not a positive number"),
            (RSA, "300302017f", "x509: invalid RSA public exponent"),
            (ED25519, "00".repeat(32).as_str(), "Ed25519"),
            (ED25519, "00", "x509: wrong Ed25519 public key size"),
            (format!("{ED25519}0500").as_str(), "00", "x509: Ed25519 key encoded with illegal parameters"),
            (EC, "04", "x509: invalid ECDSA parameters"),
            (format!("{EC}06052b8104000a").as_str(), "04", "x509: unsupported elliptic curve"),
            (
                p256.as_str(),
                format!("02{}", "00".repeat(32)).as_str(),
                "ecdsa: invalid uncompressed public key",
            ),
            (p256.as_str(), "0400", "invalid P256 point encoding"),
        ] {
            assert_eq!(key(id, bits), text, "{id} {bits}");
        }
        let mut trailing = PrivateKey::generate(KeyType::EcP256).unwrap().public_key().pkix().to_vec();
        trailing.push(0);
        let error = PublicKey::from_pkix(&trailing).unwrap_err();
        assert_eq!(error.to_string(), "x509: trailing data after ASN.1 of public-key");
    }

    #[test]
    fn garbage_is_not_a_key() {
        for bytes in [&b""[..], b"\x30\x00", b"not a key at all"] {
            assert!(PublicKey::from_pkix(bytes).is_err());
            assert!(PrivateKey::from_pkcs8(bytes).is_err());
        }
    }
}
