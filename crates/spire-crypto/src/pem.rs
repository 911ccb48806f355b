//! PEM in and out, with the errors that users of SPIRE know (CA-336, AG-212).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::key::{KeyError, PrivateKey};
use crate::x509::{Certificate, X509Error};

/// Why PEM text was refused.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("no PEM blocks")]
    NoBlocks,
    #[error("no certificates found in file")]
    NoCertificates,
    /// Blocks are counted from zero.
    #[error("unable to parse certificate in block {0}: {1}")]
    CertificateBlock(usize, X509Error),
    #[error("expected block type {expected:?}; got {got:?}")]
    BlockType { expected: &'static str, got: String },
    /// Blocks are counted from one.
    #[error("unable to parse {CERTIFICATE:?} PEM block {number}: {reason}")]
    Certificate { number: usize, reason: X509Error },
    #[error(transparent)]
    Key(#[from] KeyError),
}

const CERTIFICATE: &str = "CERTIFICATE";

/// All certificates of a text that holds nothing else.
pub fn parse_certificates(text: &[u8]) -> Result<Vec<Certificate>, PemError> {
    let blocks = blocks(text)?;
    let mut certificates = Vec::with_capacity(blocks.len());
    for (index, block) in blocks.into_iter().enumerate() {
        if block.label != CERTIFICATE {
            return Err(PemError::BlockType { expected: CERTIFICATE, got: block.label });
        }
        let certificate = Certificate::parse(&block.content)
            .map_err(|reason| PemError::Certificate { number: index + 1, reason })?;
        certificates.push(certificate);
    }
    Ok(certificates)
}

/// The certificates among the blocks of a text, at least one (NA-035).
pub fn find_certificates(text: &[u8]) -> Result<Vec<Certificate>, PemError> {
    let blocks = blocks(text).unwrap_or_default();
    let certificates = blocks.iter().enumerate().filter(|(_, block)| block.label == CERTIFICATE);
    let certificates: Vec<Certificate> = certificates
        .map(|(number, block)| {
            Certificate::parse(&block.content).map_err(|error| PemError::CertificateBlock(number, error))
        })
        .collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(PemError::NoCertificates) } else { Ok(certificates) }
}

/// The first private key among the blocks of a text: PKCS#8, SEC 1 or PKCS#1.
pub fn parse_private_key(text: &[u8]) -> Result<PrivateKey, PemError> {
    for block in blocks(text)? {
        match &block.label[..] {
            "PRIVATE KEY" => return Ok(PrivateKey::from_pkcs8(&block.content)?),
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" => return Ok(PrivateKey::from_traditional(&block.content)?),
            _ => {}
        }
    }
    Err(PemError::NoBlocks)
}

struct Block {
    label: String,
    /// It may be a private key.
    content: Zeroizing<Vec<u8>>,
}

/// All blocks as Go finds them: what is none, or a broken one, is passed over like any other text.
fn blocks(text: &[u8]) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    // Label of the block that has begun, and where its content does.
    let mut begun: Option<(&[u8], usize)> = None;
    let mut at = 0;
    for raw in text.split_inclusive(|byte| *byte == b'\n') {
        let start = at;
        at += raw.len();
        let line = raw.trim_ascii_end();
        if let Some(label) = line.strip_prefix(b"-----BEGIN ").and_then(|rest| rest.strip_suffix(b"-----")) {
            begun = Some((label, at));
        } else if let Some(rest) = line.strip_prefix(b"-----END ") {
            if let Some((label, content)) = begun.take()
                && rest.strip_suffix(b"-----") == Some(label)
                && let Some(content) = decode(&text[content..start])
            {
                blocks.push(Block { label: String::from_utf8_lossy(label).into_owned(), content });
            }
        } else if let Some((_, content)) = &mut begun
            && *content == start
            && line.contains(&b':')
        {
            // A header.
            *content = at;
        }
    }
    if blocks.is_empty() { Err(PemError::NoBlocks) } else { Ok(blocks) }
}

fn decode(base64: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut dense = Zeroizing::new(Vec::with_capacity(base64.len()));
    dense.extend(base64.iter().filter(|byte| !byte.is_ascii_whitespace()));
    STANDARD.decode(&*dense).ok().map(Zeroizing::new)
}

/// One `CERTIFICATE` block.
pub fn encode_certificate(der: &[u8]) -> String {
    encode(CERTIFICATE, der)
}

/// One unencrypted `PRIVATE KEY` block; wiped when dropped.
pub fn encode_private_key(pkcs8: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(encode("PRIVATE KEY", pkcs8))
}

fn encode(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let base64 = Zeroizing::new(STANDARD.encode(der));
    // Room for everything, so that no copy is left behind.
    let mut out = String::with_capacity(base64.len() + base64.len() / LINE + 2 * label.len() + 40);
    for part in ["-----BEGIN ", label, "-----\n"] {
        out.push_str(part);
    }
    let mut rest = &base64[..];
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    for part in ["-----END ", label, "-----\n"] {
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_certificates_are_found_among_other_blocks() {
        // NA-035, NA-062
        let key = PrivateKey::generate(crate::KeyType::EcP256).unwrap();
        let text = encode("SOMETHING", b"x") + &encode_private_key(&key.to_pkcs8().unwrap());
        assert_eq!(parse_private_key(text.as_bytes()).unwrap().public_key(), key.public_key());
        let error = find_certificates(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "no certificates found in file");
        let text = text + &encode_certificate(b"x");
        let error = find_certificates(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("unable to parse certificate in block 2: x509: "), "{error}");
    }

    #[test]
    fn texts_without_certificates_are_refused_by_name() {
        // CA-336
        let key = encode_private_key(b"xx");
        for (text, expected) in [
            ("nothing", "no PEM blocks"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "no PEM blocks"),
            ("-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n", "no PEM blocks"),
            (" -----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no PEM blocks"),
            ("-----BEGIN A-----\nAAAA\n-----END B-----\n", "no PEM blocks"),
            (&key, "expected block type \"CERTIFICATE\"; got \"PRIVATE KEY\""),
        ] {
            assert_eq!(parse_certificates(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
        }
        let error = parse_certificates(encode_certificate(b"junk").as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("unable to parse \"CERTIFICATE\" PEM block 1: "), "{error}");
    }

    #[test]
    fn text_around_blocks_and_broken_blocks_are_passed_over() {
        let whole = |label: &str| encode(label, &[7; 100]);
        let text = format!(
            "words\r\n{}-----BEGIN X-----\n!\n-----END X-----\n-----BEGIN Y-----\n{}{}more words",
            whole("A").replace('\n', " \r\n"),
            whole("B").replace("-----\nBwcH", "-----\nProc-Type: 4\nNote: x\n\nBwcH"),
            whole("C").trim_end(),
        );
        // The last one does not end with its line.
        let found = blocks(text.as_bytes()).unwrap();
        assert_eq!(found.iter().map(|block| &block.label[..]).collect::<Vec<_>>(), ["A", "B"]);
        assert!(found.iter().all(|block| *block.content == [7; 100]));
    }

    #[test]
    fn lines_are_as_long_as_go_makes_them() {
        assert_eq!(
            encode("A", &[0; 49]),
            format!("-----BEGIN A-----\n{}\nAA==\n-----END A-----\n", "A".repeat(64))
        );
        assert_eq!(encode("A", &[]), "-----BEGIN A-----\n-----END A-----\n");
    }
}
