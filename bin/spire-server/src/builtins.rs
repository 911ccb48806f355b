//! The plugins that are linked into this server.

use spire_catalog::ServerBuiltIns;
use spire_plugin::server::NodeAttestor;
use spire_plugin::{BuiltIn, KeyManager};
use spire_plugins_base::{key_manager, server};

const KEY_MANAGERS: &[BuiltIn<dyn KeyManager>] = &[key_manager::DISK_FOR_SERVER, key_manager::MEMORY];
const NODE_ATTESTORS: &[BuiltIn<dyn NodeAttestor>] = &[server::JOIN_TOKEN, server::X509POP];

/// Key managers and node attestors.
pub const BUILT_INS: ServerBuiltIns =
    ServerBuiltIns { key_managers: KEY_MANAGERS, node_attestors: NODE_ATTESTORS };
