//! Randomness that must not be guessed.

use aws_lc_rs::rand;

use crate::key::KeyError;

/// Fills a buffer from the system's generator.
pub fn fill(bytes: &mut [u8]) -> Result<(), KeyError> {
    rand::fill(bytes).map_err(|_| KeyError::Backend("read randomness"))
}

/// A certificate serial number, uniform in `[1, 2^128 - 1]`, big-endian (CA-201).
pub fn serial_number() -> Result<[u8; 16], KeyError> {
    loop {
        let mut serial = [0; 16];
        fill(&mut serial)?;
        if serial != [0; 16] {
            return Ok(serial);
        }
    }
}

/// A JWT key id: 32 characters of letters and digits (CA-024).
pub fn key_id() -> Result<String, KeyError> {
    const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(bytes.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect())
}
