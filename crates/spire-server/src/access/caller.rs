use std::net::SocketAddr;

use spire_crypto::x509::Certificate;
use spire_net::local::LocalPeer;
use spire_types::{Entry, SpiffeId};

/// Who is at the other end (SA-164).
#[derive(Debug, Clone)]
pub struct Caller {
    /// `None` for the local socket.
    pub address: Option<SocketAddr>,
    pub local_peer: Option<LocalPeer>,
    /// Of the verified client certificate.
    pub id: Option<SpiffeId>,
    pub leaf: Option<Certificate>,
    pub authority: Authority,
    /// The caller's downstream entry, when that is its authority.
    pub downstream_entry: Option<Entry>,
}

/// As what the call was let through (SA-176).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    Nobody,
    Local,
    AdminByConfig,
    AdminByEntry,
    Downstream,
    Agent,
}

impl Authority {
    /// `authorized_as` and `authorized_via`.
    pub fn as_and_via(self) -> (&'static str, &'static str) {
        match self {
            Self::Nobody => ("nobody", ""),
            Self::Local => ("local", "transport"),
            Self::AdminByConfig => ("admin", "config"),
            Self::AdminByEntry => ("admin", "entries"),
            Self::Downstream => ("downstream", "entries"),
            Self::Agent => ("agent", "datastore"),
        }
    }
}

impl Caller {
    pub fn is_local(&self) -> bool {
        self.address.is_none()
    }
}
