//! Proof of possession of a certificate's key (NA-063 to NA-068).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::UintRef;
use der::{Decode, Encode};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
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

/// Reads a message as Go does: names in any case, `null` for what is absent (NA-026).
pub fn read<T: DeserializeOwned + Default>(json: &[u8]) -> serde_json::Result<T> {
    object(serde_json::from_slice::<Value>(json)?).map(Option::unwrap_or_default)
}

/// Only from an object: a derived reader would take an array, too.
fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
            serde_json::from_value(members.collect()).map(Some).map_err(D::Error::custom)
        }
        _ => Err(D::Error::custom("an object is wanted")),
    }
}

fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AttestationData {
    #[serde(deserialize_with = "list")]
    pub certificates: Vec<Base64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Challenge {
    #[serde(deserialize_with = "object")]
    pub rsa_signature: Option<Nonce>,
    #[serde(deserialize_with = "object")]
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
    #[serde(deserialize_with = "object")]
    pub rsa_signature: Option<RsaResponse>,
    #[serde(deserialize_with = "object")]
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
/// SHA-256
const HASH: usize = 32;

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
            let message = message(asked, &nonce)?;
            let signature = key.sign(SignatureScheme::RsaPssSha256, &message).map_err(|e| failed(&e))?;
            let answer = RsaResponse { nonce, signature: Base64(signature) };
            Ok(Response { rsa_signature: Some(answer), ecdsa_signature: None })
        }
        KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384 | KeyAlgorithm::EcP521 => {
            let asked = challenge.ecdsa_signature.as_ref().ok_or("expecting ECDSA challenge")?;
            let nonce = fresh_nonce()?;
            let message = message(asked, &nonce)?;
            let asn1 = key.sign(SignatureScheme::EcdsaSha256, &message).map_err(|e| failed(&e))?;
            let parsed = EcdsaSignature::from_der(&asn1).map_err(|e| failed(&e))?;
            let (r, s) = (Base64(parsed.r.as_bytes().to_vec()), Base64(parsed.s.as_bytes().to_vec()));
            Ok(Response { rsa_signature: None, ecdsa_signature: Some(EcdsaResponse { nonce, r, s }) })
        }
        other => Err(format!("unsupported private key type {other:?}")),
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
            let failed = || "ECDSA signature verify failed".to_owned();
            let signature = UintRef::new(&answer.r.0)
                .and_then(|r| EcdsaSignature { r, s: UintRef::new(&answer.s.0)? }.to_der())
                .map_err(|_| failed())?;
            key.verify(SignatureScheme::EcdsaSha256, &message, &signature).map_err(|_| failed())
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

/// The sizes of RSA keys that Go verifies with, up to what `max_rsa_key_size` lets through.
const SMALLEST_RSA: usize = 1024;

/// RSASSA-PSS with SHA-256 and a salt of any length (NA-067), which the crypto library does not verify.
fn verify_pss(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), String> {
    let failed = || "RSA signature verify failed".to_owned();
    let KeyAlgorithm::Rsa { bits: SMALLEST_RSA.. } = key.algorithm() else { return Err(failed()) };
    let key = rsa_key(key).ok_or_else(failed)?;
    let hashed = hash::sha256(message);
    let salt = salt_length(&key, signature).ok_or_else(failed)?;
    key.verify(rsa::Pss::new_with_salt::<rsa::sha2::Sha256>(salt), &hashed, signature).map_err(|_| failed())
}

fn rsa_key(key: &PublicKey) -> Option<rsa::RsaPublicKey> {
    #[derive(der::Sequence)]
    struct RsaPublicKey<'a> {
        modulus: UintRef<'a>,
        exponent: UintRef<'a>,
    }
    let parts = RsaPublicKey::from_der(key.key_bits()).ok()?;
    let [modulus, exponent] =
        [parts.modulus, parts.exponent].map(|part| rsa::BigUint::from_bytes_be(part.as_bytes()));
    rsa::RsaPublicKey::new_with_max_size(modulus, exponent, usize::MAX).ok()
}

/// The length of the salt that a signature claims to have (RFC 8017 section 9.1.2, up to step 10).
fn salt_length(key: &rsa::RsaPublicKey, signature: &[u8]) -> Option<usize> {
    use rsa::traits::PublicKeyParts as _;
    if signature.len() != key.size() {
        return None;
    }
    let signature = rsa::BigUint::from_bytes_be(signature);
    if signature >= *key.n() {
        return None;
    }
    let length = (key.n().bits() - 1).div_ceil(8);
    let number = signature.modpow(key.e(), key.n()).to_bytes_be();
    let encoded = [vec![0; length.checked_sub(number.len())?], number].concat();
    let masked = length.checked_sub(HASH + 1)?;
    let (masked, seed) = (&encoded[..masked], &encoded[masked..masked + HASH]);
    let mask = (0u32..).flat_map(|count| hash::sha256(&[seed, &count.to_be_bytes()].concat()));
    let mut block = masked.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    // Bits above the length of the modulus are not part of the block.
    let spare = 8 * length - (key.n().bits() - 1);
    let first = block.next()? & (0xff >> spare);
    let padding = if first == 0 { 1 + block.by_ref().take_while(|byte| *byte == 0).count() } else { 0 };
    masked.len().checked_sub(padding + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spire_crypto::KeyType;

    #[test]
    fn a_holder_proves_its_key_and_nobody_else_does() {
        for kind in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
            let key = PrivateKey::generate(kind).unwrap();
            let other = PrivateKey::generate(kind).unwrap();
            let asked = challenge(key.public_key()).unwrap();
            verify(key.public_key(), &asked, &respond(&key, &asked).unwrap()).unwrap();
            assert!(verify(key.public_key(), &asked, &respond(&other, &asked).unwrap()).is_err(), "{kind}");
        }
    }

    #[test]
    fn a_salt_of_any_length_is_verified() {
        // NA-067; made by openssl with a key of 1025 bits, whose encoded block is a byte shorter than its modulus.
        let decode = |text: &str| STANDARD.decode(text).unwrap();
        let key = "\
            MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQErzAH18WXywWBh0avMU7DllxliS0iE7m6K7GWAncW57QFkWux5zjjRlPnfFi/K\
            Sm4IuxbTbSdyYxf8j36ZJZlP0H2xHp8GwYe6MB2Eb3qRgVkllC15l4uPyuCsYRdpLBoQYbLmgKXXhGfLv3VbNKvPj480plQmRNVG\
            ZShVvDKQEQIDAQAB";
        let key = PublicKey::from_pkix(&decode(key)).unwrap();
        let salted = [
            (
                "nothing",
                "\
            AMjwA55pbffYIDxa8me+iu9guOaNsZE56XiyDzuGmozFgjFojpEFaCCfEQqNbpeU7ZWW9PSgYn6mNguN/nDiD1kAwQa9wPsVlFR1\
            0FUguQLN1IgTEdLzjfjlyLv0+WRpC7nG3SOb4MYe3vTh0TX9M81gWNkwJdB6T0zsrYZdD6vS",
            ),
            (
                "20 bytes",
                "\
            AITgIjdZhFNQUbblpHynGhi+JZK3jqBzzrgeueadrm8dcY3SjITACcDWu8oDgKTwASBmw4EJKNK6BiH0bqtyx8I0lX8lCHZLaVA2\
            k5ts9lbuIFhtfH1VIvGDx5qKu7a0troUZwRi9tM1MnFHa0N/oHGzOIbWOkHqyuW97yjtsl+1",
            ),
            (
                "the digest's length",
                "\
            AIjCdh2m23fF4n6vYfKtAzg2tw+GG4T4xBD+vSEead7ZIQS3NZC2+XUqHEEQ5V9VxCeZHBgDVPQWuG0AHOaVEgIjM0TV1wRuvVvh\
            gaBJnsymuLh4PEMeONMeXNkIj0BX3SJp0ACaNfQwhpNvQo7FrDm5H3boIW7y3VoJkpKSSR/1",
            ),
            (
                "the longest",
                "\
            AAHvDl1M+I7L3/HQWbTXI74yFNtXb8bSX47w4WrV4JM+bSa7rEvV957wq6laWMa2Vegty7ZqM5EzDa8V2aaTklPYwXsvTStuQQ5G\
            n5Y+xdi4d7wczaezlJv+TOL2K7gLTOes68GeSAdQwFpCQUf4jODwP3cr8G90EVB1cvQL74K+",
            ),
        ];
        for (salt, signature) in salted {
            let mut signature = decode(signature);
            verify_pss(&key, b"both nonces in a row", &signature).unwrap_or_else(|e| panic!("{salt}: {e}"));
            assert!(verify_pss(&key, b"something else", &signature).is_err(), "{salt}");
            signature[60] ^= 1;
            assert!(verify_pss(&key, b"both nonces in a row", &signature).is_err(), "{salt}");
        }
        assert!(verify_pss(&key, b"", b"").is_err());
        assert!(verify_pss(&key, b"", &[0xff; 129]).is_err());
    }

    #[test]
    fn short_nonces_are_refused() {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let asked = challenge(key.public_key()).unwrap();
        let mut answer = respond(&key, &asked).unwrap();
        answer.ecdsa_signature.as_mut().unwrap().nonce.0.pop();
        assert_eq!(verify(key.public_key(), &asked, &answer).unwrap_err(), "invalid response nonce");
        let asked =
            Challenge { ecdsa_signature: Some(Nonce { nonce: Base64(vec![1; 31]) }), rsa_signature: None };
        assert_eq!(respond(&key, &asked).unwrap_err(), "invalid challenge nonce");
    }

    #[test]
    fn absent_parts_are_written_and_read_as_null() {
        // NA-026, NA-064
        let asked =
            Challenge { rsa_signature: Some(Nonce { nonce: Base64(vec![0; 3]) }), ecdsa_signature: None };
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(text, r#"{"rsa_signature":{"nonce":"AAAA"},"ecdsa_signature":null}"#);
        for text in [r#"{"certificates":null}"#, "{}", "null", r#"{"other":1}"#] {
            assert!(read::<AttestationData>(text.as_bytes()).unwrap().certificates.is_empty(), "{text}");
        }
        let data: AttestationData = read(br#"{"Certificates":["AAAA",null]}"#).unwrap();
        assert_eq!(data.certificates, [Base64(vec![0; 3]), Base64::default()]);
        for text in ["[]", "1", r#"{"rsa_signature":[]}"#, "{} {}"] {
            assert!(read::<Response>(text.as_bytes()).is_err(), "{text}");
        }
    }
}
