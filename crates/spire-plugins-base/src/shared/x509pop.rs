//! Proof of possession of a certificate's key (NA-063 to NA-068).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::UintRef;
use der::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spire_crypto::{KeyAlgorithm, PrivateKey, PublicKey, SignatureScheme, hash, random};

/// Bytes as standard base64; `null` is empty (NA-026).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        let text: String = text.unwrap_or_default().chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Serialize)]
pub struct AttestationData {
    pub certificates: Vec<Base64>,
}

/// Only from an object: a derived reader would take an array for it, too.
impl<'de> Deserialize<'de> for AttestationData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members: std::collections::BTreeMap<String, serde_json::Value> =
            Option::deserialize(deserializer)?.unwrap_or_default();
        let certificates = members.remove("certificates").unwrap_or_default();
        let certificates: Option<Vec<Base64>> =
            serde_json::from_value(certificates).map_err(serde::de::Error::custom)?;
        Ok(Self { certificates: certificates.unwrap_or_default() })
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Challenge {
    pub rsa_signature: Option<Nonce>,
    pub ecdsa_signature: Option<Nonce>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Nonce {
    pub nonce: Base64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    pub rsa_signature: Option<RsaResponse>,
    pub ecdsa_signature: Option<EcdsaResponse>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RsaResponse {
    pub nonce: Base64,
    pub signature: Base64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EcdsaResponse {
    pub nonce: Base64,
    pub r: Base64,
    pub s: Base64,
}

const NONCE: usize = 32;

fn fresh_nonce() -> Result<Base64, String> {
    let mut nonce = vec![0; NONCE];
    random::fill(&mut nonce).map_err(|error| error.to_string())?;
    Ok(Base64(nonce))
}

/// Server: asks the holder of `key` to prove it.
pub fn challenge(key: &PublicKey) -> Result<Challenge, String> {
    let nonce = Some(Nonce { nonce: fresh_nonce()? });
    match key.algorithm() {
        KeyAlgorithm::Rsa { .. } => Ok(Challenge { rsa_signature: nonce, ecdsa_signature: None }),
        KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384 | KeyAlgorithm::EcP521 => {
            Ok(Challenge { rsa_signature: None, ecdsa_signature: nonce })
        }
        other => Err(format!("unsupported public key type {other:?}")),
    }
}

#[derive(der::Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// Agent: answers a challenge. The signed message is both nonces in a row.
pub fn respond(key: &PrivateKey, challenge: &Challenge) -> Result<Response, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    match key.public_key().algorithm() {
        KeyAlgorithm::Rsa { .. } => {
            let asked = challenge.rsa_signature.as_ref().ok_or("expecting RSA challenge")?;
            let nonce = fresh_nonce()?;
            let message = [&asked.nonce.0[..], &nonce.0].concat();
            let signature = key.sign(SignatureScheme::RsaPssSha256, &message).map_err(|e| failed(&e))?;
            let answer = RsaResponse { nonce, signature: Base64(signature) };
            Ok(Response { rsa_signature: Some(answer), ecdsa_signature: None })
        }
        KeyAlgorithm::EcP256 => {
            let asked = challenge.ecdsa_signature.as_ref().ok_or("expecting ECDSA challenge")?;
            let nonce = fresh_nonce()?;
            let message = [&asked.nonce.0[..], &nonce.0].concat();
            let asn1 = key.sign(SignatureScheme::EcdsaSha256, &message).map_err(|e| failed(&e))?;
            let parsed = EcdsaSignature::from_der(&asn1).map_err(|e| failed(&e))?;
            let (r, s) = (Base64(parsed.r.as_bytes().to_vec()), Base64(parsed.s.as_bytes().to_vec()));
            Ok(Response { rsa_signature: None, ecdsa_signature: Some(EcdsaResponse { nonce, r, s }) })
        }
        other => Err(format!("unsupported private key type {other:?}; use an RSA or a P-256 key")),
    }
}

/// Server: whether the answer proves the key.
pub fn verify(key: &PublicKey, challenge: &Challenge, response: &Response) -> Result<(), String> {
    match (&challenge.rsa_signature, &challenge.ecdsa_signature) {
        (Some(asked), _) => {
            let answer = response.rsa_signature.as_ref().ok_or("expecting RSA response")?;
            let message = message(asked, &answer.nonce)?;
            verify_pss(key, &message, &answer.signature.0)
        }
        (_, Some(asked)) => {
            let answer = response.ecdsa_signature.as_ref().ok_or("expecting ECDSA response")?;
            let message = message(asked, &answer.nonce)?;
            let signature = UintRef::new(&answer.r.0)
                .and_then(|r| Ok(EcdsaSignature { r, s: UintRef::new(&answer.s.0)? }))
                .and_then(|signature| signature.to_der())
                .map_err(|error| error.to_string())?;
            key.verify(SignatureScheme::EcdsaSha256, &message, &signature)
                .map_err(|_| "ECDSA signature verify failed".to_owned())
        }
        (None, None) => Err("nothing was asked".to_owned()),
    }
}

fn message(asked: &Nonce, nonce: &Base64) -> Result<Vec<u8>, String> {
    for (nonce, whose) in [(&asked.nonce, "challenge"), (nonce, "response")] {
        if nonce.0.len() != NONCE {
            return Err(format!("invalid {whose} nonce"));
        }
    }
    Ok([&asked.nonce.0[..], &nonce.0].concat())
}

/// RSASSA-PSS with SHA-256: SPIRE's agents sign with the
/// longest salt (NA-067), which the crypto library does not verify.
fn verify_pss(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), String> {
    use rsa::pkcs8::DecodePublicKey as _;
    use rsa::traits::PublicKeyParts as _;
    let failed = || "RSA signature verify failed".to_owned();
    let key = rsa::RsaPublicKey::from_public_key_der(key.pkix()).map_err(|error| error.to_string())?;
    let hashed = hash::sha256(message);
    let encoded_length = (key.n().bits() - 1).div_ceil(8);
    let longest = encoded_length.checked_sub(hashed.len() + 2).ok_or_else(failed)?;
    // The two lengths in use: the longest (SPIRE's) and the digest's (ours).
    let proven = [longest, hashed.len()].into_iter().any(|salt| {
        key.verify(rsa::Pss::new_with_salt::<rsa::sha2::Sha256>(salt), &hashed, signature).is_ok()
    });
    if proven { Ok(()) } else { Err(failed()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spire_crypto::KeyType;

    #[test]
    fn a_holder_proves_its_key_and_nobody_else_does() {
        for kind in [KeyType::EcP256, KeyType::Rsa2048] {
            let key = PrivateKey::generate(kind).unwrap();
            let other = PrivateKey::generate(kind).unwrap();
            let asked = challenge(key.public_key()).unwrap();
            verify(key.public_key(), &asked, &respond(&key, &asked).unwrap()).unwrap();
            assert!(verify(key.public_key(), &asked, &respond(&other, &asked).unwrap()).is_err(), "{kind}");
        }
    }

    #[test]
    fn short_nonces_are_refused() {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let asked =
            Challenge { ecdsa_signature: Some(Nonce { nonce: Base64(vec![1; 31]) }), rsa_signature: None };
        assert!(verify(key.public_key(), &asked, &respond(&key, &asked).unwrap()).is_err());
    }

    #[test]
    fn absent_parts_are_written_and_read_as_null() {
        // NA-026, NA-064
        let asked =
            Challenge { rsa_signature: Some(Nonce { nonce: Base64(vec![0; 3]) }), ecdsa_signature: None };
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(text, r#"{"rsa_signature":{"nonce":"AAAA"},"ecdsa_signature":null}"#);
        let data: AttestationData = serde_json::from_str(r#"{"certificates":null}"#).unwrap();
        assert!(data.certificates.is_empty());
    }
}
