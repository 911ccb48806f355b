//! The plugins that are linked into this agent.

use spire_catalog::AgentBuiltIns;
use spire_plugin::agent::{NodeAttestor, WorkloadAttestor};
use spire_plugin::{BuiltIn, KeyManager};
use spire_plugins_base::{agent, key_manager};
use spire_plugins_docker::DOCKER;

const KEY_MANAGERS: &[BuiltIn<dyn KeyManager>] = &[key_manager::DISK_FOR_AGENT, key_manager::MEMORY];
const NODE_ATTESTORS: &[BuiltIn<dyn NodeAttestor>] = &[agent::JOIN_TOKEN, agent::X509POP];
const WORKLOAD_ATTESTORS: &[BuiltIn<dyn WorkloadAttestor>] = &[agent::UNIX, DOCKER];

/// Key managers, node attestors and workload attestors.
pub const BUILT_INS: AgentBuiltIns = AgentBuiltIns {
    key_managers: KEY_MANAGERS,
    node_attestors: NODE_ATTESTORS,
    workload_attestors: WORKLOAD_ATTESTORS,
};
