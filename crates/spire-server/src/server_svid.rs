//! The server's own X509-SVID (CA-013, CA-217, CA-269, CA-109).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use spire_authority::{Authority, IssueError};
use spire_crypto::x509::{Certificate, Roots, X509Error, chains_to};
use spire_crypto::{KeyError, PrivateKey};
use spire_net::tls::{IdentityCell, IdentityError, certified_key};
use spire_runtime::{Chain, SharedClock, Shutdown};
use spire_types::X509Authority;
use time::format_description::well_known::Rfc3339;

const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Why the server has no SVID.
#[derive(Debug, thiserror::Error)]
pub enum ServerSvidError {
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    X509(#[from] X509Error),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Holds the current SVID and renews it.
#[derive(Debug)]
pub struct ServerSvid {
    authority: Arc<Authority>,
    clock: SharedClock,
    identity: Arc<IdentityCell>,
    chain: ArcSwapOption<Vec<Certificate>>,
    tainted: AtomicBool,
}

impl ServerSvid {
    pub fn new(authority: Arc<Authority>, clock: SharedClock) -> Self {
        Self {
            authority,
            clock,
            identity: Arc::new(IdentityCell::default()),
            chain: ArcSwapOption::empty(),
            tainted: AtomicBool::new(false),
        }
    }

    /// What handshakes present.
    pub fn identity(&self) -> Arc<IdentityCell> {
        self.identity.clone()
    }

    pub fn chain(&self) -> Option<Arc<Vec<Certificate>>> {
        self.chain.load_full()
    }

    /// Makes a new key and SVID.
    pub async fn rotate(&self) -> Result<(), ServerSvidError> {
        tracing::debug!(subsystem_name = "svid_rotator", "Rotating server SVID");
        let key = PrivateKey::generate(self.authority.settings().ca_key_type)?;
        let svid = self.authority.sign_server_svid(key.public_key()).await?;
        let chain =
            svid.cert_chain.iter().map(|der| Certificate::parse(der)).collect::<Result<Vec<_>, _>>()?;
        let certified = certified_key(svid.cert_chain.iter().map(|der| &der[..]), Arc::new(key))?;
        if let Some(leaf) = chain.first() {
            tracing::debug!(
                expiration = leaf.not_after().format(&Rfc3339).unwrap_or_default(),
                spiffe_id = svid.id.to_string(),
                subsystem_name = "svid_rotator",
                "Signed X509 SVID"
            );
        }
        self.identity.set(certified);
        self.chain.store(Some(Arc::new(chain)));
        self.tainted.store(false, Ordering::Release);
        Ok(())
    }

    fn is_due(&self) -> bool {
        let Some(chain) = self.chain.load_full() else { return true };
        let Some(leaf) = chain.first() else { return true };
        let half = leaf.not_before() + (leaf.not_after() - leaf.not_before()) / 2;
        self.tainted.load(Ordering::Acquire) || self.clock.now() > half
    }

    /// An authority was tainted; what it signed is made anew at the next check.
    pub fn taint(&self, authorities: &[X509Authority]) {
        let certificates: Result<Vec<_>, _> =
            authorities.iter().map(|authority| Certificate::parse_many(&authority.der)).collect();
        let roots = certificates.map(|lists| lists.into_iter().flatten().collect()).and_then(Roots::new);
        let (Ok(roots), Some(chain)) = (roots, self.chain.load_full()) else { return };
        if matches!(chains_to(&chain, &roots, self.clock.now()), Ok(true)) {
            tracing::info!(
                subsystem_name = "svid_rotator",
                "Server SVID signed using a tainted authority, forcing rotation of the Server SVID"
            );
            self.tainted.store(true, Ordering::Release);
        }
    }

    /// Looks every 5 s whether a new SVID is due, until `shutdown`.
    pub async fn follow(self: Arc<Self>, shutdown: Shutdown) {
        while shutdown.unless_cancelled(self.clock.sleep(CHECK_EVERY)).await.is_some() {
            if self.is_due()
                && let Err(error) = self.rotate().await
            {
                tracing::error!(
                    error = %Chain(&error),
                    subsystem_name = "svid_rotator",
                    "Could not rotate server SVID"
                );
            }
        }
    }
}
