//! The domain vocabulary of SPIRE, valid by construction.
//!
//! Nothing here knows of protobuf, SQL or gRPC. A value of one of these types
//! has passed its checks; whoever holds one need not check again.
//!
//! Texts and URLs are read and shown as Go does it, since that is how users of
//! SPIRE know them: [`go_text`], [`GoUrl`].

mod agent;
mod authority;
mod bundle;
mod entry;
mod federation;
pub mod go_text;
mod go_url;
mod join_token;
mod page;
mod selector;
mod spiffe_id;
mod svid;
mod trust_domain;

pub use agent::{AgentMask, AttestedAgent};
pub use authority::{AuthorityId, SlotStatus};
pub use bundle::{Bundle, BundleMask, JwtAuthority, WitAuthority, X509Authority};
pub use entry::{AdditionalAttributes, Entry, EntryId, EntryMask};
pub use federation::{EndpointProfile, FederationMask, FederationRelationship};
pub use go_url::{GoUrl, GoUrlError};
pub use join_token::JoinToken;
pub use page::Page;
pub use selector::{MatchBehavior, Selector, SelectorError};
pub use spiffe_id::{MembershipError, SpiffeId, SpiffeIdError};
pub use svid::{JwtSvid, X509Svid};
pub use trust_domain::TrustDomain;

/// A point in time in whole seconds since 1970-01-01T00:00:00Z; what SPIRE's
/// wire and database store.
pub type UnixSeconds = i64;
