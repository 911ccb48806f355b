//! Private keys as JSON Web Keys, for users who asked for a key pair (RFC 7518 sections 6.2.2 and 6.3.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::{AnyRef, OctetStringRef, UintRef};
use der::{Decode, Reader, SliceReader};
use zeroize::Zeroizing;

use super::jwk::{JwkError, jwk_members};
use crate::key::{KeyAlgorithm, KeyError, PrivateKey};

/// The private members of an RSA key, in the order of `RSAPrivateKey` (RFC 8017 appendix A.1.2).
const RSA_MEMBERS: [&str; 6] = ["d", "p", "q", "dp", "dq", "qi"];

/// The key as one line of JSON, public members first; wiped when dropped.
pub fn private_jwk(key: &PrivateKey) -> Result<Zeroizing<String>, JwkError> {
    let pkcs8 = key.to_pkcs8()?;
    let inner = private_part(&pkcs8).map_err(malformed)?;
    // Room enough for RSA 4096, so that no copy of the text is left behind.
    let mut json = Zeroizing::new(String::with_capacity(8192));
    for (name, value) in jwk_members(key.public_key())? {
        push(&mut json, name, &value);
    }
    let parts = fields(inner).map_err(malformed)?;
    match key.public_key().algorithm() {
        KeyAlgorithm::Rsa { .. } => {
            for (name, part) in RSA_MEMBERS.iter().zip(parts.iter().skip(3)) {
                let number = part.decode_as::<UintRef<'_>>().map_err(malformed)?;
                push(&mut json, name, &Zeroizing::new(URL_SAFE_NO_PAD.encode(number.as_bytes())));
            }
        }
        _ => {
            let scalar = parts.get(1).ok_or(JwkError::Unsupported)?;
            let scalar = scalar.decode_as::<&OctetStringRef>().map_err(malformed)?;
            push(&mut json, "d", &Zeroizing::new(URL_SAFE_NO_PAD.encode(scalar.as_bytes())));
        }
    }
    json.push('}');
    Ok(json)
}

fn malformed(error: der::Error) -> JwkError {
    JwkError::Key(KeyError::MalformedPrivate(error.to_string()))
}

/// Neither names nor base64url have characters that JSON escapes.
fn push(json: &mut String, name: &str, value: &str) {
    json.push(if json.is_empty() { '{' } else { ',' });
    for part in ["\"", name, "\":\"", value, "\""] {
        json.push_str(part);
    }
}

/// What PKCS#8 wraps: `ECPrivateKey` or `RSAPrivateKey`.
fn private_part(pkcs8: &[u8]) -> Result<&[u8], der::Error> {
    let parts = fields(pkcs8)?;
    let part = parts.get(2).ok_or_else(|| der::Error::incomplete(der::Length::ZERO))?;
    Ok(part.decode_as::<&OctetStringRef>()?.as_bytes())
}

/// The elements of a sequence.
fn fields(der: &[u8]) -> Result<Vec<AnyRef<'_>>, der::Error> {
    let mut reader = SliceReader::new(AnyRef::from_der(der)?.value())?;
    let mut all = Vec::new();
    while !reader.is_finished() {
        all.push(AnyRef::decode(&mut reader)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyType;

    #[test]
    fn members_stand_in_the_order_of_go() {
        for (kind, order) in [
            (KeyType::EcP256, &["kty", "crv", "x", "y", "d"][..]),
            (KeyType::EcP384, &["kty", "crv", "x", "y", "d"]),
            (KeyType::Rsa2048, &["kty", "n", "e", "d", "p", "q", "dp", "dq", "qi"]),
        ] {
            let json = private_jwk(&PrivateKey::generate(kind).unwrap()).unwrap();
            let found: Vec<&str> =
                json.split(['{', ',']).filter_map(|member| member.split('"').nth(1)).collect();
            assert_eq!(found, order, "{kind:?}");
            let document: serde_json::Value = serde_json::from_str(&json).unwrap();
            let length = URL_SAFE_NO_PAD.decode(document["d"].as_str().unwrap()).unwrap().len();
            let expected = match kind {
                KeyType::EcP256 => 32,
                KeyType::EcP384 => 48,
                _ => 256,
            };
            assert!(length <= expected && length + 2 > expected, "{length}");
        }
    }
}
