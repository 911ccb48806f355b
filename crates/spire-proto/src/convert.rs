//! Messages to domain values and back. Requests are checked on the way in;
//! what the domain holds can always be printed on the way out.

pub mod agent;
pub mod authority;
pub mod bundle;
pub mod entry;
pub mod federation;
pub mod id;
pub mod selector;
pub mod svid;
