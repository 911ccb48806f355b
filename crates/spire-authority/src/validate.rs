//! Judging what was made before it leaves (CA-236 to CA-249).

use spire_crypto::x509::{Certificate, KeyUsage};
use spire_types::TrustDomain;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why a credential of our own making must not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("invalid {what}: {reason}")]
    Certificate { what: &'static str, reason: String },
    #[error("invalid JWT-SVID \"exp\" claim: already expired as of {0}")]
    Expired(String),
}

/// A CA certificate (CA-236 to CA-241).
pub(crate) fn authority(
    certificate: &Certificate,
    trust_domain: &TrustDomain,
    now: OffsetDateTime,
) -> Result<(), Invalid> {
    let refuse = |reason: &str| Err(Invalid::Certificate { what: "X509 CA", reason: reason.to_owned() });
    if !certificate.has_basic_constraints() {
        return refuse("basic constraints are not valid");
    }
    if !certificate.is_ca() {
        return refuse("cA constraint is not set");
    }
    let usage = certificate.key_usage().unwrap_or(KeyUsage(0));
    if !usage.contains(KeyUsage::KEY_CERT_SIGN) {
        return refuse("keyCertSign key usage must be set");
    }
    let allowed = KeyUsage::KEY_CERT_SIGN.or(KeyUsage::CRL_SIGN).or(KeyUsage::DIGITAL_SIGNATURE);
    if !allowed.contains(usage) {
        return refuse("only keyCertSign, cRLSign, or digitalSignature key usage can be set");
    }
    let wanted = trust_domain.id_string();
    match certificate.uri_sans() {
        [] => {}
        [one] if *one == wanted => {}
        other => return refuse(&format!("expected URI SAN {wanted:?} but got {other:?}")),
    }
    window("X509 CA", certificate.not_before(), certificate.not_after(), now)
}

/// Both ends belong to the window; there is no leeway (CA-241, CA-249).
pub(crate) fn window(
    what: &'static str,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<(), Invalid> {
    let text = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
    if now < not_before {
        return Err(Invalid::Certificate {
            what,
            reason: format!("not yet valid until {}", text(not_before)),
        });
    }
    // Certificates know whole seconds only.
    if now > not_after.replace_nanosecond(0).unwrap_or(not_after) {
        return Err(Invalid::Certificate {
            what,
            reason: format!("already expired as of {}", text(not_after)),
        });
    }
    Ok(())
}

/// CA-247
pub(crate) fn token_expiry(expires_at: i64, now: i64) -> Result<(), Invalid> {
    if expires_at > now {
        return Ok(());
    }
    let at = OffsetDateTime::from_unix_timestamp(expires_at).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    Err(Invalid::Expired(at.format(&Rfc3339).unwrap_or_default()))
}
