//! The way of a new pod into the mesh: the container runtime calls the plugin, the
//! plugin asks the agent by its socket, and the agent enrols the pod before any of
//! its containers starts. The agent also puts the plugin on the node.
//!
//! The plugin knows nothing: which pods are enrolled is decided by the agent, from
//! the API server. So no credential lies on the node's disk, nobody but the agent
//! has to understand labels, and a plugin of another version decides nothing wrongly.

pub(crate) mod conflist;
pub mod install;
pub(crate) mod message;
pub mod plugin;
pub(crate) mod server;

/// The name of the plugin: its binary and its type in a network configuration.
pub const PLUGIN: &str = "adit-cni";
/// The agent's socket, below its run directory.
const SOCKET: &str = "pluginevent.sock";
/// The largest message either side takes.
const LARGEST_MESSAGE: usize = 256 * 1024;
