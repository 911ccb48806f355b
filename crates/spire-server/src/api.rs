//! The gRPC services: translation around lines of domain.

mod agent;
mod bundle;
mod debug;
mod doorbell;
mod entry;
mod health;
mod local_authority;
mod logger;
mod svid;
mod task;
mod trust_domain;

pub use agent::AgentApi;
pub use bundle::BundleApi;
pub use debug::DebugApi;
pub use doorbell::DoorbellApi;
pub use entry::EntryApi;
pub use health::HealthApi;
pub use local_authority::LocalAuthorityApi;
pub use logger::LoggerApi;
pub use svid::SvidApi;
pub use trust_domain::TrustDomainApi;

use spire_proto::convert::bundle::KeyChecks;
use spire_types::Page;

/// Key material of requests is judged by the crypto code (SA-031, SA-032).
const KEY_CHECKS: KeyChecks<'static> = KeyChecks {
    x509: &|der| spire_crypto::x509::check_authorities(der).map_err(|error| error.to_string()),
    pkix: &|der| {
        let checked = spire_crypto::PublicKey::from_pkix(der).and_then(|key| key.check());
        checked.map_err(|error| error.to_string())
    },
};

/// SA-019
fn page(size: i32, token: String) -> Option<Page> {
    let size = u32::try_from(size).ok().filter(|size| *size > 0)?;
    Some(Page { size, token })
}
