//! Identities as people read them (AG-171).

use std::fmt::Write as _;
use std::time::Duration;

use spire_cli::go_text;
use spire_config::duration::GoDuration;
use spire_crypto::x509::Certificate;

use super::identity::Identity;

/// The listing of one answer that came after `took`.
pub(super) fn of(identities: &[Identity], took: Duration) -> String {
    let count = go_text::count(identities.len(), "svid", "svids");
    let mut text = format!("Received {count} after {}\n", GoDuration::from(took));
    for identity in identities {
        text.push('\n');
        list(&mut text, identity);
    }
    text.push('\n');
    text
}

fn list(text: &mut String, identity: &Identity) {
    let _ = writeln!(text, "SPIFFE ID:\t\t{}", identity.spiffe_id);
    if !identity.hint.is_empty() {
        let _ = writeln!(text, "Hint:\t\t\t{}", identity.hint);
    }
    for (index, certificate) in identity.chain.iter().enumerate() {
        match index {
            0 => validity(text, "SVID", certificate),
            index => validity(text, &format!("Intermediate #{index}"), certificate),
        }
    }
    authorities(text, "", &identity.bundle);
    for (domain, bundle) in &identity.federated_bundles {
        authorities(text, &format!("[{domain}] "), bundle);
    }
}

fn authorities(text: &mut String, prefix: &str, bundle: &[Certificate]) {
    for (index, certificate) in bundle.iter().enumerate() {
        validity(text, &format!("{prefix}CA #{}", index + 1), certificate);
    }
}

fn validity(text: &mut String, what: &str, certificate: &Certificate) {
    let _ = writeln!(text, "{what} Valid After:\t{}", go_text::utc_time(certificate.not_before_unix()));
    let _ = writeln!(text, "{what} Valid Until:\t{}", go_text::utc_time(certificate.not_after_unix()));
}
