//! Who calls, whether they may, how often, and what is written down about it.

mod audit;
mod call;
mod caller;
mod layer;
mod rate_limit;
mod table;

pub use audit::{AuditFields, digest};
pub use call::Call;
pub use caller::{Authority, Caller};
pub use layer::{Access, AccessLayer, Listener};
pub use rate_limit::RateLimits;
pub use table::{Allow, Limit, ROWS, Row};
