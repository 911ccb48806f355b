use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use spire_crypto::Signer;
use spire_crypto::x509::{Certificate, Roots, chains_to};
use spire_net::tls::{IdentityCell, IdentityError, IdentitySource, certified_key};
use spire_plugin::ManagedKey;
use spire_types::SpiffeId;
use time::OffsetDateTime;

use super::RotationPolicy;

/// The agent's SVID and key.
#[derive(Debug)]
pub struct AgentSvid {
    pub id: SpiffeId,
    /// Leaf first.
    pub chain: Vec<Certificate>,
    pub key: Arc<dyn ManagedKey>,
    /// The node may attest again whenever it wants.
    pub reattestable: bool,
    pub renew_at: OffsetDateTime,
    not_after: OffsetDateTime,
}

impl AgentSvid {
    /// `None` if the chain is empty or its leaf has no SPIFFE ID.
    pub fn new(
        chain: Vec<Certificate>,
        key: Arc<dyn ManagedKey>,
        reattestable: bool,
        policy: &RotationPolicy,
    ) -> Option<Self> {
        let leaf = chain.first()?;
        let id = leaf.uri_sans().first()?.parse().ok()?;
        let (renew_at, not_after) = (policy.renew_at(leaf), leaf.not_after());
        Some(Self { id, chain, key, reattestable, renew_at, not_after })
    }

    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now > self.not_after
    }

    fn certified(&self) -> Result<Arc<spire_net::tls::CertifiedKey>, IdentityError> {
        let signer: Arc<dyn Signer> = self.key.clone();
        certified_key(self.chain.iter().map(|certificate| &certificate.der()[..]), signer)
    }
}

/// The current SVID, for everyone who needs it.
#[derive(Debug)]
pub struct Identity {
    current: ArcSwap<AgentSvid>,
    handshakes: Arc<IdentityCell>,
    tainted: AtomicBool,
}

impl Identity {
    pub fn new(svid: AgentSvid) -> Result<Self, IdentityError> {
        let handshakes = Arc::new(IdentityCell::new(Some(svid.certified()?)));
        Ok(Self { current: ArcSwap::from_pointee(svid), handshakes, tainted: AtomicBool::new(false) })
    }

    pub fn current(&self) -> Arc<AgentSvid> {
        self.current.load_full()
    }

    /// What handshakes present.
    pub fn source(&self) -> Arc<dyn IdentitySource> {
        self.handshakes.clone()
    }

    pub fn replace(&self, svid: AgentSvid) -> Result<(), IdentityError> {
        self.handshakes.set(svid.certified()?);
        self.current.store(Arc::new(svid));
        self.tainted.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether a new SVID is wanted now.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.tainted.load(Ordering::Acquire) || now >= self.current.load().renew_at
    }

    /// Some authorities are tainted; an SVID of theirs is renewed at the next look (AG-410).
    pub fn taint(&self, authorities: &Roots, now: OffsetDateTime) {
        if self.tainted.load(Ordering::Acquire) {
            tracing::debug!(subsystem_name = "manager", "Agent SVID already tainted");
            return;
        }
        if matches!(chains_to(&self.current.load().chain, authorities, now), Ok(true)) {
            tracing::info!(
                subsystem_name = "manager",
                "Agent SVID is tainted by a root authority, forcing rotation"
            );
            self.tainted.store(true, Ordering::Release);
        }
    }
}
