use std::sync::Arc;

use spire_authority::AuthorityManager;
use spire_catalog::ServerPlugins;
use spire_datastore::Datastore;
use spire_runtime::SharedClock;
use spire_runtime::logging::LogHandle;

use crate::bundles::BundleCache;
use crate::entries::EntryCache;
use crate::server_svid::ServerSvid;
use crate::settings::ServerSettings;

/// What every part of a running server shares; made once, in `assemble`.
#[derive(Debug)]
pub struct Core {
    pub settings: ServerSettings,
    pub clock: SharedClock,
    pub log: LogHandle,
    pub datastore: Datastore,
    pub plugins: ServerPlugins,
    pub authorities: Arc<AuthorityManager>,
    pub bundles: Arc<BundleCache>,
    pub entries: Arc<EntryCache>,
    pub server_svid: Arc<ServerSvid>,
    /// Ends what would otherwise go on for ever.
    pub shutdown: spire_runtime::Shutdown,
    /// When the server started; seconds since 1970.
    pub started_at: i64,
}
