use spire_types::UnixSeconds;

use crate::server::localauthority::v1::AuthorityState;

/// The state of one slot as the LocalAuthority API shows it (CA-094).
pub fn authority_state(id: &str, expires_at: UnixSeconds, upstream_subject_key_id: &str) -> AuthorityState {
    AuthorityState {
        authority_id: id.to_owned(),
        expires_at,
        upstream_authority_subject_key_id: upstream_subject_key_id.to_owned(),
    }
}
