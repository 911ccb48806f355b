//! PEM in and out, with the errors that users of SPIRE know (CA-336, AG-212).

use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::Zeroizing;

use crate::key::{KeyError, PrivateKey};
use crate::x509::{Certificate, X509Error};

/// Why PEM text was refused.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("no PEM blocks")]
    NoBlocks,
    #[error("expected block type {expected:?}; got {got:?}")]
    BlockType { expected: &'static str, got: String },
    #[error(transparent)]
    Certificate(#[from] X509Error),
    #[error(transparent)]
    Key(#[from] KeyError),
}

const CERTIFICATE: &str = "CERTIFICATE";

/// All certificates of a text that holds nothing else.
pub fn parse_certificates(text: &[u8]) -> Result<Vec<Certificate>, PemError> {
    let blocks = blocks(text)?;
    let mut certificates = Vec::with_capacity(blocks.len());
    for block in blocks {
        if block.tag() != CERTIFICATE {
            return Err(PemError::BlockType { expected: CERTIFICATE, got: block.tag().to_owned() });
        }
        certificates.push(Certificate::parse(block.contents())?);
    }
    Ok(certificates)
}

/// The first private key of a text: PKCS#8, SEC 1 or PKCS#1.
pub fn parse_private_key(text: &[u8]) -> Result<PrivateKey, PemError> {
    for block in blocks(text)? {
        let der = Zeroizing::new(block.contents().to_vec());
        match block.tag() {
            "PRIVATE KEY" => return Ok(PrivateKey::from_pkcs8(&der)?),
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" => return Ok(PrivateKey::from_traditional(&der)?),
            "EC PARAMETERS" => {}
            other => return Err(PemError::BlockType { expected: "PRIVATE KEY", got: other.to_owned() }),
        }
    }
    Err(PemError::NoBlocks)
}

fn blocks(text: &[u8]) -> Result<Vec<Pem>, PemError> {
    match pem::parse_many(text) {
        Ok(blocks) if !blocks.is_empty() => Ok(blocks),
        _ => Err(PemError::NoBlocks),
    }
}

/// One `CERTIFICATE` block.
pub fn encode_certificate(der: &[u8]) -> String {
    encode(CERTIFICATE, der)
}

/// One unencrypted `PRIVATE KEY` block; wiped when dropped.
pub fn encode_private_key(pkcs8: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(encode("PRIVATE KEY", pkcs8))
}

fn encode(tag: &str, der: &[u8]) -> String {
    pem::encode_config(&Pem::new(tag, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_certificates_are_refused_by_name() {
        assert_eq!(parse_certificates(b"nothing").unwrap_err().to_string(), "no PEM blocks");
        let key = encode_private_key(b"xx");
        assert_eq!(
            parse_certificates(key.as_bytes()).unwrap_err().to_string(),
            "expected block type \"CERTIFICATE\"; got \"PRIVATE KEY\""
        );
    }
}
