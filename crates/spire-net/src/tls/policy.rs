//! What every TLS connection of the program has in common (CA-501, CA-502).

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, CipherSuite, SupportedProtocolVersion};
use spire_runtime::SharedClock;

/// Restrictions that the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TlsPolicy {
    /// `require_pq_kem`: TLS 1.3 and a post-quantum key exchange or no connection (CA-502).
    pub require_pq_kem: bool,
}

impl TlsPolicy {
    /// Says at debug level what the policy is, if it is any.
    pub fn log(self) {
        if self.require_pq_kem {
            tracing::debug!(
                "Experimental option 'require_pq_kem' is enabled; all TLS connections will require use of a \
                 post-quantum safe KEM"
            );
        }
    }

    /// TLS 1.2 and 1.3, or 1.3 alone: the key exchanges asked for exist nowhere else.
    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        const BOTH: &[&SupportedProtocolVersion] = ALL_VERSIONS;
        const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];
        debug_assert!(BOTH.contains(&&TLS12));
        if self.require_pq_kem { NEWEST } else { BOTH }
    }

    pub(super) fn provider(self) -> Arc<CryptoProvider> {
        let hybrid: [&'static dyn SupportedKxGroup; 2] =
            [kx_group::X25519MLKEM768, kx_group::SECP256R1MLKEM768];
        let classic: [&'static dyn SupportedKxGroup; 3] =
            [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        let mut kx_groups = hybrid.to_vec();
        if !self.require_pq_kem {
            kx_groups.extend(classic);
        }
        let mut provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
        // As Go prefers them: SHA-256 is what processors have instructions for, and half of a handshake's hashing.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        Arc::new(provider)
    }
}

/// Our clock as rustls wants it.
#[derive(Debug)]
pub(super) struct ClockTime(pub SharedClock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.unix()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
