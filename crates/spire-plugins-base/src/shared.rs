//! What both sides of one attestation must agree on, and reading of settings.

pub mod settings;
pub mod x509pop;
