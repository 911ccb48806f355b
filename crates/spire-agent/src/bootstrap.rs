//! How the agent comes to trust a server that it has never met (AG-208 to AG-225).

mod document;
mod download;
mod open_end;
mod sources;
mod state;

pub use sources::{Anchor, BootstrapError, TrustBundleSources};
pub use state::{Bootstrapping, Disagreement};
